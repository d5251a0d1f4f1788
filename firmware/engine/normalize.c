#include "normalize.h"

#include <string.h>

#include "rewrite.h"
#include "utf8.h"
#include "vocabulary.h"

/* The next part of a text, and its replacement. */
struct part {
    const uint8_t *bytes; /* the replacement */
    uint32_t length;      /* of the replacement */
    uint32_t taken;       /* bytes of the text that it replaces */
};

static bool is_space_mark(const uint8_t *bytes, uint32_t n) {
    return TL_SPACE_MARKS && n >= 3u && memcmp(bytes, "\xE2\x96\x81", 3) == 0; /* U+2581, SentencePiece's */
}

#if TL_CHARACTER_MAP_UNITS > 0

/* SentencePiece's character map: a double-array trie of little-endian 32-bit units, then the replacements. */
static uint32_t unit_at(uint32_t position) {
    const uint8_t *unit = tl_character_map + 4u * position;
    return (uint32_t)unit[0] | (uint32_t)unit[1] << 8 | (uint32_t)unit[2] << 16 | (uint32_t)unit[3] << 24;
}

static uint32_t unit_offset(uint32_t unit) {
    return (unit >> 10) << ((unit & 0x200u) >> 6);
}

/* The longest key of the map that the text begins with, and its replacement; taken is 0 if there is no key. */
static struct part mapped_part(const uint8_t *text, uint32_t n) {
    struct part part = {NULL, 0, 0};
    uint32_t position = unit_offset(unit_at(0)), value = 0;
    for (uint32_t i = 0; i < n; i++) {
        position ^= text[i];
        if (position >= TL_CHARACTER_MAP_UNITS) {
            break;
        }
        const uint32_t unit = unit_at(position);
        if ((unit & 0x800000FFu) != text[i]) {
            break;
        }
        position ^= unit_offset(unit);
        if ((unit & 0x100u) != 0 && position < TL_CHARACTER_MAP_UNITS) {
            part.taken = i + 1u;
            value = unit_at(position) & 0x7FFFFFFFu;
        }
    }
    if (part.taken > 0) {
        /* The last byte of the table is zero. */
        const uint32_t start = 4u * TL_CHARACTER_MAP_UNITS + value;
        const uint32_t last = TL_CHARACTER_MAP_BYTES - 1u;
        part.bytes = tl_character_map + (start < last ? start : last);
        part.length = (uint32_t)strlen((const char *)part.bytes);
    }
    return part;
}

#endif

#if TL_KEPT_TEXTS

/* The length of the kept text that this text begins with, 0 if there is none. */
static uint32_t kept_length(const uint8_t *text, uint32_t n) {
    for (const uint8_t *kept = tl_kept_texts; kept[0] != 0; kept += 1u + kept[0]) {
        if (kept[0] <= n && memcmp(text, kept + 1, kept[0]) == 0) {
            return kept[0];
        }
    }
    return 0;
}

#endif

static struct part next_part(const uint8_t *text, uint32_t n) {
    struct part part = {text, 1, 1};
#if TL_KEPT_TEXTS
    part.length = part.taken = kept_length(text, n);
    if (part.taken > 0) {
        return part;
    }
#endif
#if TL_CHARACTER_MAP_UNITS > 0
    const struct part mapped = mapped_part(text, n);
    if (mapped.taken > 0) {
        return mapped;
    }
#endif
    const uint32_t character = tl_utf8_length(text, n);
    part.length = part.taken = character == 0 || character > n ? 1u : character;
    return part;
}

uint32_t tl_normalize(const uint8_t *text, uint32_t n_bytes, bool first, uint8_t *out, uint32_t room) {
    bool prefix = TL_ADD_DUMMY_PREFIX && (first || TL_PREFIX_SECTIONS); /* the dummy prefix is still to be written */
    bool empty = true, after_space = TL_REMOVE_EXTRA_WHITESPACES;
    uint32_t n = 0;
#if TL_REWRITES > 0
    memmove(out + 1, text, n_bytes); /* one byte after the place that the loop below writes to */
    n_bytes = tl_rewrite(out + 1, n_bytes, room - 1u);
    if (n_bytes == TL_REWRITE_TOO_LONG) {
        return TL_NORMAL_TOO_LONG;
    }
    text = out + 1;
#endif
    for (uint32_t at = 0; at < n_bytes;) {
        struct part part = next_part(text + at, n_bytes - at);
        at += part.taken;
        if (TL_REMOVE_EXTRA_WHITESPACES && empty && part.length == 1u && part.bytes[0] == ' ') {
            continue;
        }
        empty = false;
        for (; after_space && part.length > 0 && part.bytes[0] == ' '; part.bytes++) {
            part.length--;
        }
        if (part.length == 0) {
            continue;
        }
        after_space = TL_REMOVE_EXTRA_WHITESPACES && part.bytes[part.length - 1u] == ' ';
        if (prefix && !(TL_PREFIX_UNLESS_SPACE && (part.bytes[0] == ' ' || is_space_mark(part.bytes, part.length)))) {
            out[n++] = ' ';
        }
        prefix = false;
        for (uint32_t i = 0; i < part.length; i++) {
            if (n == room) {
                return TL_NORMAL_TOO_LONG;
            }
            const bool mark = is_space_mark(part.bytes + i, part.length - i);
            out[n++] = mark ? ' ' : part.bytes[i];
            i += mark ? 2u : 0;
        }
    }
    if (prefix && !empty && !TL_PREFIX_UNLESS_SPACE) { /* the text was replaced by nothing */
        out[n++] = ' ';
    }
    while (TL_REMOVE_EXTRA_WHITESPACES && n > 0 && out[n - 1u] == ' ') {
        n--;
    }
    return n;
}
