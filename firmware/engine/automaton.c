#include "automaton.h"

#include "utf8.h"
#include "vocabulary.h"

#if TL_AUTOMATA > 0

#define ACCEPT 0x80u
#define START 1u
#define END_OF_TEXT TL_SYMBOLS /* the column after those of the symbols */

static uint32_t symbol_of(uint32_t code) {
    uint32_t low = 0, high = TL_SYMBOL_RUNS;
    while (high - low > 1u) { /* the last run that begins at this code point or before */
        const uint32_t middle = low + (high - low) / 2u;
        if (tl_symbol_run[middle] >> 8 <= code) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return tl_symbol_run[low] & 0xFFu;
}

uint32_t tl_match_end(uint32_t automaton, const uint8_t *text, uint32_t at, uint32_t end) {
    const uint8_t *table = tl_automaton_table + tl_automaton[automaton];
    uint32_t state = START, found = TL_NO_MATCH;
    for (;;) {
        uint32_t symbol = END_OF_TEXT, length = 0;
        if (at < end) {
            const uint32_t code = tl_utf8_code(text + at, end - at, &length);
            symbol = symbol_of(code == TL_NO_CHARACTER ? TL_CODE_OF_NO_CHARACTER : code);
        }
        const uint8_t entry = table[state * (TL_SYMBOLS + 1u) + symbol];
        found = (entry & ACCEPT) != 0 ? at : found;
        state = entry & ~ACCEPT;
        if (state == 0 || at == end) {
            return found;
        }
        at += length;
    }
}

#endif
