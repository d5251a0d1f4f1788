#include "rewrite.h"

#include <stdbool.h>
#include <string.h>

#include "automaton.h"
#include "normal_form.h"
#include "utf8.h"
#include "vocabulary.h"

#if TL_REWRITES > 0

/* A step's buffer: it reads the text at the end of the buffer and writes its result to the start. */
struct rewriting {
    uint8_t *out;
    uint32_t written;
    uint32_t at;   /* out[at..room) is not read yet */
    uint32_t room; /* bytes of the buffer */
    bool too_long; /* the result would have overwritten text that is not read yet */
};

static void put(struct rewriting *text, const uint8_t *bytes, uint32_t n) {
    if (n > text->at - text->written) {
        text->too_long = true;
        return;
    }
    memmove(text->out + text->written, bytes, n);
    text->written += n;
}

static void put_read(struct rewriting *text, uint32_t n) {
    const uint8_t *bytes = text->out + text->at;
    text->at += n;
    put(text, bytes, n);
}

static uint32_t next_length(const struct rewriting *text) {
    uint32_t length;
    (void)tl_utf8_code(text->out + text->at, text->room - text->at, &length);
    return length;
}

#if TL_LOWERCASE_RUNS > 0

static uint32_t lower_case(uint32_t code) {
    uint32_t low = 0, high = TL_LOWERCASE_RUNS;
    while (low < high) { /* the first run that begins after this character */
        const uint32_t middle = low + (high - low) / 2u;
        if (tl_lowercase_run[middle].first <= code) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    const struct tl_lowercase_run *run = &tl_lowercase_run[low > 0 ? low - 1u : 0];
    const bool upper = code >= run->first && code - run->first <= run->span && (code - run->first) % run->step == 0;
    return upper ? (uint32_t)((int32_t)code + run->distance) : code;
}

static void put_lower_case(struct rewriting *text) {
    uint32_t length;
    const uint32_t code = tl_utf8_code(text->out + text->at, text->room - text->at, &length);
    const uint32_t lower = code == TL_NO_CHARACTER ? code : lower_case(code);
    uint8_t bytes[4];
    if (code == 0x130u) { /* capital I with a dot: the only one whose lower case is two characters */
        text->at += length;
        put(text, (const uint8_t *)"i\xCC\x87", 3);
    } else if (lower == code) {
        put_read(text, length);
    } else {
        text->at += length;
        put(text, bytes, tl_utf8_put(lower, bytes));
    }
}

#endif

#if TL_AUTOMATA > 0

/* Replaces or surrounds the match that begins here; if none does, copies one character. */
static void put_replaced(struct rewriting *text, const struct tl_rewrite *step) {
    const uint8_t *content = tl_rewrite_bytes + step->offset;
    const uint32_t end = tl_match_end(step->automaton, text->out, text->at, text->room);
    if (end == TL_NO_MATCH) {
        put_read(text, next_length(text));
        return;
    }
    const uint32_t matched = end - text->at;
    if (step->kind == TL_SURROUND) {
        put(text, content, step->length);
        put_read(text, matched);
    } else {
        text->at = end;
    }
    put(text, content, step->length);
}

/* Removes matches at the start, at the end or at both, and returns the new length. */
static uint32_t trim(const struct tl_rewrite *step, uint8_t *out, uint32_t n) {
    uint32_t first = n, last = 0, length;
    for (uint32_t at = 0; at < n; at += length) {
        (void)tl_utf8_code(out + at, n - at, &length);
        if (tl_match_end(step->automaton, out, at, n) == TL_NO_MATCH) {
            first = first < at ? first : at;
            last = at + length;
        }
    }
    const uint32_t begin = (step->sides & TL_TRIMS_LEFT) != 0 ? first : 0;
    const uint32_t end = (step->sides & TL_TRIMS_RIGHT) != 0 ? last : n;
    const uint32_t kept = end > begin ? end - begin : 0;
    memmove(out, out + begin, kept);
    return kept;
}

#endif

static uint32_t take_step(const struct tl_rewrite *step, uint8_t *out, uint32_t n, uint32_t room) {
#if TL_FORMS
    if (step->kind <= TL_NFKD) {
        return tl_normal_form(step->kind, out, n, room);
    }
#endif
#if TL_AUTOMATA > 0
    if (step->kind == TL_TRIM) {
        return trim(step, out, n);
    }
#endif
    struct rewriting text = {out, 0, room - n, room, false};
    memmove(out + text.at, out, n);
    if (step->kind == TL_PREPEND && n > 0) {
        put(&text, tl_rewrite_bytes + step->offset, step->length);
    }
    while (text.at < room && !text.too_long) {
#if TL_LOWERCASE_RUNS > 0
        if (step->kind == TL_LOWERCASE) {
            put_lower_case(&text);
            continue;
        }
#endif
#if TL_AUTOMATA > 0
        if (step->kind == TL_REPLACE || step->kind == TL_SURROUND) {
            put_replaced(&text, step);
            continue;
        }
#endif
        put_read(&text, next_length(&text));
    }
    return text.too_long ? TL_REWRITE_TOO_LONG : text.written;
}

uint32_t tl_rewrite(uint8_t *out, uint32_t n, uint32_t room) {
    for (uint32_t i = 0; i < TL_REWRITES && n != TL_REWRITE_TOO_LONG; i++) {
        n = take_step(&tl_rewrite_step[i], out, n, room);
    }
    return n;
}

#endif
