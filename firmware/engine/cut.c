#include "cut.h"

#include "automaton.h"
#include "pretokenize.h"
#include "utf8.h"

#if TL_CUTS > 0

/* The end of the match that begins at `at`, or else of the text before the next match; *match: which of the two it
   counts as. */
static uint32_t segment_end(const struct tl_cut *cut, const uint8_t *text, uint32_t at, uint32_t end, bool *match) {
    uint32_t stop = tl_match_end(cut->automaton, text, at, end);
    *match = (stop != TL_NO_MATCH) != (cut->invert != 0);
    if (stop != TL_NO_MATCH) {
        return stop;
    }
    uint32_t length;
    (void)tl_utf8_code(text + at, end - at, &length);
    for (stop = at + length; stop < end && tl_match_end(cut->automaton, text, stop, end) == TL_NO_MATCH;) {
        (void)tl_utf8_code(text + stop, end - stop, &length);
        stop += length;
    }
    return stop;
}

/* Whether the second of two adjacent segments belongs to the word of the first. */
static bool joins(uint32_t behavior, bool match, bool match_too) {
    switch (behavior) {
    case TL_MERGED_WITH_PREVIOUS:
        return !match && match_too;
    case TL_MERGED_WITH_NEXT:
        return match && !match_too;
    case TL_CONTIGUOUS:
        return match == match_too;
    default:
        return false;
    }
}

/* The end of one step's part that begins at `at`. *dropped: whether the part is no word but removed. */
static uint32_t part_end(const struct tl_cut *cut, const uint8_t *text, uint32_t at, uint32_t end, bool *dropped) {
    bool match, match_too;
    uint32_t stop = segment_end(cut, text, at, end, &match);
    *dropped = cut->behavior == TL_REMOVED && match;
    while (stop < end) {
        const uint32_t following = segment_end(cut, text, stop, end, &match_too);
        if (!joins(cut->behavior, match, match_too)) {
            break;
        }
        stop = following;
        if (cut->behavior != TL_CONTIGUOUS) {
            break;
        }
    }
    return stop;
}

#endif

bool tl_next_word(const uint8_t *text, struct tl_words *words, uint32_t *begin) {
    uint32_t end = words->end;
#if TL_CUTS > 0
    for (uint32_t i = 0; i < TL_CUTS;) {
        bool dropped = false;
        if (words->at == words->end) {
            return false;
        }
        if (words->at >= words->ends[i]) {
            words->ends[i] = part_end(&tl_cut[i], text, words->at, end, &dropped);
        }
        if (dropped) {
            words->at = words->ends[i];
            end = words->end;
            i = 0;
            continue;
        }
        end = words->ends[i];
        i++;
    }
#endif
    if (words->at == words->end) {
        return false;
    }
    (void)text; /* unused with neither cuts nor a pattern */
    *begin = words->at;
#if TL_PATTERN != TL_PATTERN_NONE
    end = tl_word_end(text, words->at, end);
#endif
    words->at = end;
    return true;
}
