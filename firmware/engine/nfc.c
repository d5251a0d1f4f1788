#include "nfc.h"

#include <string.h>

#include "utf8.h"
#include "vocabulary.h"

#if TL_NFC

#define NO_CHARACTER UINT32_MAX

/* Hangul syllables (The Unicode Standard, section 3.12): a leading consonant, a vowel, perhaps a trailing consonant. */
#define SYLLABLE 0xAC00u
#define LEADING 0x1100u
#define VOWEL 0x1161u
#define TRAILING 0x11A7u
#define LEADINGS 19u
#define VOWELS 21u
#define TRAILINGS 28u /* none among them */
#define SYLLABLES (LEADINGS * VOWELS * TRAILINGS)

/* The character at text[0], NO_CHARACTER for a byte that begins none, and its length. */
static uint32_t character_at(const uint8_t *text, uint32_t n, uint32_t *length) {
    *length = tl_utf8_length(text, n);
    if (*length == 0 || *length > n) {
        *length = 1;
        return NO_CHARACTER;
    }
    uint32_t code = *length == 1u ? text[0] : text[0] & (0x7Fu >> *length);
    for (uint32_t i = 1; i < *length; i++) {
        code = code << 6 | (text[i] & 0x3Fu);
    }
    return code;
}

/* Writes a character from U+0080 on in UTF-8 and returns its length. */
static uint32_t put_character(uint32_t code, uint8_t *out) {
    const uint32_t length = code < 0x800u ? 2u : code < 0x10000u ? 3u : 4u;
    for (uint32_t i = length - 1u; i > 0; i--) {
        out[i] = (uint8_t)(0x80u | (code & 0x3Fu));
        code >>= 6;
    }
    out[0] = (uint8_t)((0xF00u >> length) | code);
    return length;
}

/* The canonical combining class: 0 for what begins anew, and for what is no character. */
static uint32_t combining_class(uint32_t code) {
    uint32_t low = 0, high = TL_NFC_CLASS_RUNS;
    if (code == NO_CHARACTER) {
        return 0;
    }
    while (high - low > 1u) { /* the last run that begins at this code point or before */
        const uint32_t middle = low + (high - low) / 2u;
        if (tl_nfc_class_run[middle] >> 8 <= code) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return tl_nfc_class_run[low] & 0xFFu;
}

/* Points `bytes` to what a character is taken apart into, at most 12 bytes, and returns how many; 0: it is whole. */
static uint32_t apart(uint32_t code, uint8_t hangul[9], const uint8_t **bytes) {
    if (code >= SYLLABLE && code < SYLLABLE + SYLLABLES) {
        const uint32_t index = code - SYLLABLE, trailing = index % TRAILINGS;
        uint32_t n = put_character(LEADING + index / (VOWELS * TRAILINGS), hangul);
        n += put_character(VOWEL + index / TRAILINGS % VOWELS, hangul + n);
        n += trailing > 0 ? put_character(TRAILING + trailing, hangul + n) : 0;
        *bytes = hangul;
        return n;
    }
    uint32_t low = 0, high = TL_NFC_APART;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2u;
        if (tl_nfc_apart[middle].code == code) {
            *bytes = tl_nfc_bytes + tl_nfc_apart[middle].offset;
            return tl_nfc_apart[middle].length;
        }
        if (tl_nfc_apart[middle].code < code) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return 0;
}

/* The character that two make together, or NO_CHARACTER. */
static uint32_t together(uint32_t first, uint32_t second) {
    if (first >= LEADING && first < LEADING + LEADINGS && second >= VOWEL && second < VOWEL + VOWELS) {
        return SYLLABLE + ((first - LEADING) * VOWELS + (second - VOWEL)) * TRAILINGS;
    }
    if (first >= SYLLABLE && first < SYLLABLE + SYLLABLES && (first - SYLLABLE) % TRAILINGS == 0 && second > TRAILING &&
        second < TRAILING + TRAILINGS) {
        return first + (second - TRAILING);
    }
    uint32_t low = 0, high = TL_NFC_TOGETHER;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2u;
        const struct tl_nfc_together *pair = &tl_nfc_together[middle];
        if (pair->first == first && pair->second == second) {
            return pair->code;
        }
        if (pair->first < first || (pair->first == first && pair->second < second)) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return NO_CHARACTER;
}

static uint32_t take_apart(const uint8_t *text, uint32_t n, uint8_t *out, uint32_t room) {
    uint32_t written = 0, length;
    for (uint32_t at = 0; at < n; at += length) {
        uint8_t hangul[9];
        const uint8_t *bytes = text + at;
        const uint32_t code = character_at(text + at, n - at, &length);
        const uint32_t parts = code == NO_CHARACTER ? 0 : apart(code, hangul, &bytes);
        const uint32_t n_bytes = parts > 0 ? parts : length;
        if (n_bytes > room - written) {
            return TL_NFC_TOO_LONG;
        }
        memcpy(out + written, bytes, n_bytes);
        written += n_bytes;
    }
    return written;
}

/* Where the character before text[at] begins. */
static uint32_t before(const uint8_t *text, uint32_t at) {
    uint32_t start = at - 1u, length;
    while (start > 0 && at - start < 4u && (text[start] & 0xC0u) == 0x80u) {
        start--;
    }
    return character_at(text + start, at - start, &length) != NO_CHARACTER && length == at - start ? start : at - 1u;
}

/* Puts the marks after a character in the order of their classes, those of one class as they come. */
static void sort_marks(uint8_t *text, uint32_t n) {
    uint32_t length;
    for (uint32_t at = 0; at < n; at += length) {
        uint8_t mark[4];
        const uint32_t mark_class = combining_class(character_at(text + at, n - at, &length));
        uint32_t to = at;
        while (mark_class > 0 && to > 0) {
            uint32_t other_length;
            const uint32_t other = before(text, to);
            if (combining_class(character_at(text + other, to - other, &other_length)) <= mark_class) {
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

/* Puts together what makes one character, and returns the length of what remains. */
static uint32_t put_together(uint8_t *text, uint32_t n) {
    uint32_t written = 0, length;
    uint32_t base = NO_CHARACTER, base_at = 0, base_length = 0; /* what marks may join */
    uint32_t last_class = 0;                                    /* of the character written last */
    for (uint32_t at = 0; at < n; at += length) {
        const uint32_t code = character_at(text + at, n - at, &length), code_class = combining_class(code);
        const bool reaches = base != NO_CHARACTER && (last_class == 0 || last_class < code_class);
        const uint32_t joined = reaches && code != NO_CHARACTER ? together(base, code) : NO_CHARACTER;
        if (joined != NO_CHARACTER) { /* never longer than the two */
            uint8_t bytes[4];
            const uint32_t joined_length = put_character(joined, bytes);
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

uint32_t tl_nfc(const uint8_t *text, uint32_t n, uint8_t *out, uint32_t room) {
    const uint32_t length = take_apart(text, n, out, room);
    if (length == TL_NFC_TOO_LONG) {
        return length;
    }
    sort_marks(out, length);
    return put_together(out, length);
}

#endif
