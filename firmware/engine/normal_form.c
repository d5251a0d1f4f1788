#include "normal_form.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "utf8.h"
#include "vocabulary.h"

#if TL_FORMS

/* Hangul syllables (The Unicode Standard, section 3.12): leading consonant, vowel, and optional trailing consonant. */
#define SYLLABLE 0xAC00u
#define LEADING 0x1100u
#define VOWEL 0x1161u
#define TRAILING 0x11A7u
#define LEADINGS 19u
#define VOWELS 21u
#define TRAILINGS 28u /* "none" counts as one */
#define SYLLABLES (LEADINGS * VOWELS * TRAILINGS)

/* The canonical combining class: 0 for a character that is no mark, and for TL_NO_CHARACTER. */
static uint32_t combining_class(uint32_t code) {
    uint32_t low = 0, high = TL_COMBINING_RUNS;
    if (code == TL_NO_CHARACTER) {
        return 0;
    }
    while (high - low > 1u) { /* the last run that begins at this code point or before */
        const uint32_t middle = low + (high - low) / 2u;
        if (tl_combining_run[middle] >> 8 <= code) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return tl_combining_run[low] & 0xFFu;
}

/* Points `bytes` to the decomposition of a character, at most 33 bytes, and returns its length; 0: it has none. */
static uint32_t apart(const struct tl_decompositions *table, uint32_t code, uint8_t hangul[9], const uint8_t **bytes) {
    if (code >= SYLLABLE && code < SYLLABLE + SYLLABLES) {
        const uint32_t index = code - SYLLABLE, trailing = index % TRAILINGS;
        uint32_t n = tl_utf8_put(LEADING + index / (VOWELS * TRAILINGS), hangul);
        n += tl_utf8_put(VOWEL + index / TRAILINGS % VOWELS, hangul + n);
        n += trailing > 0 ? tl_utf8_put(TRAILING + trailing, hangul + n) : 0;
        *bytes = hangul;
        return n;
    }
    uint32_t low = 0, high = table->n_runs;
    while (low < high) { /* the first run that begins after this character */
        const uint32_t middle = low + (high - low) / 2u;
        if (table->runs[middle].first <= code) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return 0;
    }
    const struct tl_decomposition_run *run = &table->runs[low - 1u];
    if (code - run->first >= run->count) {
        return 0;
    }
    *bytes = table->text + run->offset + (size_t)(code - run->first) * run->length;
    return run->length;
}

/* The composition of two characters, or TL_NO_CHARACTER. */
static uint32_t together(uint32_t first, uint32_t second) {
    if (first >= LEADING && first < LEADING + LEADINGS && second >= VOWEL && second < VOWEL + VOWELS) {
        return SYLLABLE + ((first - LEADING) * VOWELS + (second - VOWEL)) * TRAILINGS;
    }
    if (first >= SYLLABLE && first < SYLLABLE + SYLLABLES && (first - SYLLABLE) % TRAILINGS == 0 && second > TRAILING &&
        second < TRAILING + TRAILINGS) {
        return first + (second - TRAILING);
    }
    const uint32_t plane = first >> 16;
    if (plane > 1u || plane != second >> 16) {
        return TL_NO_CHARACTER;
    }
    uint32_t low = plane == 0 ? 0 : TL_COMPOSITIONS_FIRST_PLANE;
    uint32_t high = plane == 0 ? TL_COMPOSITIONS_FIRST_PLANE : TL_COMPOSITIONS;
    const uint32_t wanted = first << 16 | (second & 0xFFFFu);
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2u;
        const struct tl_composition *pair = &tl_composition[middle];
        const uint32_t found = (uint32_t)pair->first << 16 | pair->second;
        if (found == wanted) {
            return plane << 16 | pair->code;
        }
        if (found < wanted) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return TL_NO_CHARACTER;
}

/* Decomposes the n bytes of text at the end of `out` and writes the result to its start. Returns the length, or
   TL_FORM_TOO_LONG if the result would overwrite text that is not read yet. */
static uint32_t take_apart(const struct tl_decompositions *table, uint8_t *out, uint32_t n, uint32_t room) {
    uint32_t written = 0, length;
    for (uint32_t at = room - n; at < room; at += length) {
        uint8_t hangul[9];
        const uint8_t *bytes = out + at;
        const uint32_t code = tl_utf8_code(bytes, room - at, &length);
        const uint32_t parts = code == TL_NO_CHARACTER || code < 0x80u ? 0 : apart(table, code, hangul, &bytes);
        const uint32_t n_bytes = parts > 0 ? parts : length;
        if (n_bytes > at + length - written) {
            return TL_FORM_TOO_LONG;
        }
        memmove(out + written, bytes, n_bytes);
        written += n_bytes;
    }
    return written;
}

/* The start of the character before text[at]. */
static uint32_t before(const uint8_t *text, uint32_t at) {
    uint32_t start = at - 1u, length;
    while (start > 0 && at - start < 4u && (text[start] & 0xC0u) == 0x80u) {
        start--;
    }
    return tl_utf8_code(text + start, at - start, &length) != TL_NO_CHARACTER && length == at - start ? start : at - 1u;
}

/* Sorts the marks after each character by their combining class; marks of one class keep their order. */
static void sort_marks(uint8_t *text, uint32_t n) {
    uint32_t length;
    for (uint32_t at = 0; at < n; at += length) {
        uint8_t mark[4];
        const uint32_t mark_class = combining_class(tl_utf8_code(text + at, n - at, &length));
        uint32_t to = at;
        while (mark_class > 0 && to > 0) {
            uint32_t other_length;
            const uint32_t other = before(text, to);
            if (combining_class(tl_utf8_code(text + other, to - other, &other_length)) <= mark_class) {
                break;
            }
            to = other;
        }
        if (to < at) {
            memcpy(mark, text + at, length);
            memmove(text + to + length, text + to, at - to);
            memcpy(text + to, mark, length);
        }
    }
}

/* Composes characters in place, and returns the new length. */
static uint32_t put_together(uint8_t *text, uint32_t n) {
    uint32_t written = 0, length;
    uint32_t base = TL_NO_CHARACTER, base_at = 0, base_length = 0; /* the character that marks may join */
    uint32_t last_class = 0;                                       /* of the character written last */
    for (uint32_t at = 0; at < n; at += length) {
        const uint32_t code = tl_utf8_code(text + at, n - at, &length), code_class = combining_class(code);
        const bool reaches = base != TL_NO_CHARACTER && (last_class == 0 || last_class < code_class);
        const uint32_t joined = reaches && code != TL_NO_CHARACTER ? together(base, code) : TL_NO_CHARACTER;
        if (joined != TL_NO_CHARACTER) { /* never longer than the two */
            uint8_t bytes[4];
            const uint32_t joined_length = tl_utf8_put(joined, bytes);
            const uint32_t base_end = base_at + base_length;
            memmove(text + base_at + joined_length, text + base_end, written - base_end);
            memcpy(text + base_at, bytes, joined_length);
            written = written - base_length + joined_length;
            base = joined;
            base_length = joined_length;
            continue;
        }
        memmove(text + written, text + at, length);
        if (code_class == 0) {
            base = code;
            base_at = written;
            base_length = length;
        }
        last_class = code_class;
        written += length;
    }
    return written;
}

uint32_t tl_normal_form(uint32_t form, uint8_t *out, uint32_t n, uint32_t room) {
    const bool compatibility = form == TL_NFKC || form == TL_NFKD;
    memmove(out + room - n, out, n);
    n = take_apart(compatibility ? &tl_compatibility : &tl_canonical, out, n, room);
    if (n == TL_FORM_TOO_LONG) {
        return n;
    }
    sort_marks(out, n);
    return form == TL_NFC || form == TL_NFKC ? put_together(out, n) : n;
}

#endif
