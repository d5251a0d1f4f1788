#include "word_pieces.h"

#include <stdbool.h>

#include "pieces.h"
#include "utf8.h"

#if TL_ALGORITHM == TL_WORD_PIECES

#define CONTINUES 3u /* " ##" */

static bool is_piece(const uint8_t *bytes, uint32_t length) {
    return length > 0 && length <= TL_LONGEST_PIECE && tl_find_slot(bytes, length) != TL_NO_SLOT;
}

static bool is_longer(const uint8_t *word, uint32_t n_bytes, uint32_t most) {
    uint32_t characters = 0, length;
    for (uint32_t at = 0; at < n_bytes && characters <= most; at += length) {
        (void)tl_utf8_code(word + at, n_bytes - at, &length);
        characters++;
    }
    return characters > most;
}

uint32_t tl_word_pieces(const uint8_t *word, uint32_t n_bytes, tl_length_t *piece_length) {
    uint32_t first = 0;
    if (is_longer(word + 1, n_bytes - 1u, TL_LONGEST_WORD)) {
        return TL_NO_PIECES;
    }
    for (uint32_t at = 0; at < n_bytes;) {
        const bool continues = at == 0 && n_bytes > CONTINUES && word[1] == '#' && word[2] == '#';
        const uint32_t most = TL_LONGEST_PIECE + (continues ? CONTINUES : 0);
        uint32_t length = n_bytes - at < most ? n_bytes - at : most;
        for (; length > 0 && !is_piece(word + at, length); length--) {
            if (continues && length > CONTINUES && is_piece(word + CONTINUES, length - CONTINUES)) {
                first = CONTINUES;
                break;
            }
        }
        if (length == 0) {
            return TL_NO_PIECES;
        }
        piece_length[at == 0 ? first : at] = (tl_length_t)(length - (at == 0 ? first : 0));
        at += length;
    }
    return first;
}

#endif
