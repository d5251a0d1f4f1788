#include "pretokenize.h"

#include <stdbool.h>

#include "utf8.h"
#include "vocabulary.h"

#if TL_PATTERN == TL_PATTERN_SPACES

uint32_t tl_word_end(const uint8_t *text, uint32_t at, uint32_t end) {
    do {
        at++;
    } while (at < end && text[at] != ' ');
    return at;
}

#elif TL_PATTERN == TL_PATTERN_CLASSES

/* Sets of classes. */
#define IN(class_) (1u << (class_))
#define LETTERS (IN(TL_CLASS_LETTER) | IN(TL_CLASS_UPPER) | IN(TL_CLASS_LOWER))
#define CAPITALS (IN(TL_CLASS_LETTER) | IN(TL_CLASS_UPPER) | IN(TL_CLASS_MARK))
#define SMALL (IN(TL_CLASS_LETTER) | IN(TL_CLASS_LOWER) | IN(TL_CLASS_MARK))
#define NUMBERS IN(TL_CLASS_NUMBER)
#define PUNCTUATION (IN(TL_CLASS_OTHER) | IN(TL_CLASS_MARK))
#define SPACES IN(TL_CLASS_SPACE)

/* The class of the character at text[at], as a set of one; *length: its bytes. */
static uint32_t class_at(const uint8_t *text, uint32_t at, uint32_t end, uint32_t *length) {
    const uint32_t code = tl_utf8_code(text + at, end - at, length);
    if (code == TL_NO_CHARACTER) {
        return IN(TL_CLASS_OTHER);
    }
    uint32_t low = 0, high = TL_CLASS_RUNS;
    while (high - low > 1u) { /* the last run that begins at this code point or before */
        const uint32_t middle = low + (high - low) / 2u;
        if (tl_class_run[middle] >> TL_CLASS_BITS <= code) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return IN(tl_class_run[low] & ((1u << TL_CLASS_BITS) - 1u));
}

/* The end of the run of characters of these classes that begins at `at`: at most `limit` characters, unless it is 0. */
static uint32_t run_end(const uint8_t *text, uint32_t at, uint32_t end, uint32_t classes, uint32_t limit) {
    for (uint32_t count = 0; at < end && (limit == 0 || count < limit); count++) {
        uint32_t length;
        if ((class_at(text, at, end, &length) & classes) == 0) {
            break;
        }
        at += length;
    }
    return at;
}

static bool is_line_end(uint8_t byte) {
    return byte == '\r' || byte == '\n';
}

/* Each of the functions below returns the end of the word of its kind that begins at `at`, or 0 if there is none. */

/* 's 't 're 've 'm 'll 'd */
static uint32_t contraction_end(const uint8_t *text, uint32_t at, uint32_t end) {
    const uint8_t fold = TL_PATTERN_ANY_CASE ? 0x20 : 0;
    if (!TL_PATTERN_CONTRACTIONS || end - at < 2u || text[at] != '\'') {
        return 0;
    }
    const uint8_t first = text[at + 1u] | fold;
    if (first == 's' || first == 'd' || first == 'm' || first == 't') {
        return at + 2u;
    }
    if (end - at < 3u) {
        return 0;
    }
    const uint8_t second = text[at + 2u] | fold;
    if (TL_PATTERN_ANY_CASE && text[at + 1u] == 0xC5 && text[at + 2u] == 0xBF) { /* U+017F, the long s */
        return at + 3u;
    }
    const bool pair = (first == 'l' && second == 'l') || ((first == 'v' || first == 'r') && second == 'e');
    return pair ? at + 3u : 0;
}

/* Where the letters of a word that begins at `at` may begin: after the character that may precede them, or at `at`. */
static uint32_t after_leading(const uint8_t *text, uint32_t at, uint32_t end) {
    uint32_t length;
    const uint32_t class_here = class_at(text, at, end, &length);
    const bool any = !is_line_end(text[at]) && (class_here & (LETTERS | NUMBERS)) == 0;
    return (TL_PATTERN_ANY_BEFORE ? any : text[at] == ' ') ? at + length : at;
}

#if TL_PATTERN_CASED

/* The end of capitals followed by at least one small letter. A letter that may be either counts as a capital first. */
static uint32_t small_end(const uint8_t *text, uint32_t start, uint32_t end) {
    uint32_t last_either = 0; /* the end of the last capital that can also be the small letter */
    uint32_t middle = start;
    while (middle < end) {
        uint32_t length;
        const uint32_t class_here = class_at(text, middle, end, &length);
        if ((class_here & CAPITALS) == 0) {
            break;
        }
        middle += length;
        last_either = (class_here & SMALL) != 0 ? middle : last_either;
    }
    const uint32_t small = run_end(text, middle, end, SMALL, 0);
    return small > middle ? small : last_either;
}

static uint32_t word_end(const uint8_t *text, uint32_t at, uint32_t end) {
    const uint32_t after = after_leading(text, at, end);
    uint32_t word = small_end(text, after, end);
    if (word == 0 && after > at) {
        word = small_end(text, at, end);
    }
    if (word == 0) { /* capitals without a small letter after them */
        word = run_end(text, after, end, CAPITALS, 0);
        if (word == after) {
            word = run_end(text, at, end, CAPITALS, 0);
            if (word == at) {
                return 0;
            }
        }
    }
    const uint32_t contraction = word < end ? contraction_end(text, word, end) : 0;
    return contraction != 0 ? contraction : word;
}

#else

static uint32_t word_end(const uint8_t *text, uint32_t at, uint32_t end) {
    const uint32_t contraction = contraction_end(text, at, end);
    if (contraction != 0) {
        return contraction;
    }
    const uint32_t start = after_leading(text, at, end);
    const uint32_t word = run_end(text, start, end, LETTERS, 0);
    return word > start ? word : 0;
}

#endif

static uint32_t number_end(const uint8_t *text, uint32_t at, uint32_t end) {
    const uint32_t start = at + (TL_PATTERN_MAX_DIGITS == 0 && text[at] == ' ');
    const uint32_t number = run_end(text, start, end, NUMBERS, TL_PATTERN_MAX_DIGITS);
    return number > start ? number : 0;
}

static uint32_t punctuation_end(const uint8_t *text, uint32_t at, uint32_t end) {
    const uint32_t start = at + (text[at] == ' ');
    uint32_t punctuation = run_end(text, start, end, PUNCTUATION, 0);
    if (punctuation == start) {
        return 0;
    }
    while (punctuation < end && ((TL_PATTERN_LINE_ENDS && is_line_end(text[punctuation])) ||
                                 (TL_PATTERN_SLASHES && text[punctuation] == '/'))) {
        punctuation++;
    }
    return punctuation;
}

static uint32_t white_space_end(const uint8_t *text, uint32_t at, uint32_t end) {
    uint32_t run = at, before_last = at, line_end = 0;
    while (run < end) {
        uint32_t length;
        if ((class_at(text, run, end, &length) & SPACES) == 0) {
            break;
        }
        line_end = is_line_end(text[run]) ? run + 1u : line_end;
        before_last = run;
        run += length;
    }
    if (run == end && TL_PATTERN_KEEPS_LAST_RUN) {
        return run;
    }
    if (TL_PATTERN_LINE_ENDS && line_end != 0) {
        return line_end;
    }
    uint32_t length;
    if (run == end || (TL_PATTERN_DIGITS_ALONE && (class_at(text, run, end, &length) & NUMBERS) != 0)) {
        return run;
    }
    return before_last > at ? before_last : run;
}

uint32_t tl_word_end(const uint8_t *text, uint32_t at, uint32_t end) {
    uint32_t word = word_end(text, at, end);
    word = word != 0 ? word : number_end(text, at, end);
    word = word != 0 ? word : punctuation_end(text, at, end);
    return word != 0 ? word : white_space_end(text, at, end);
}

#endif
