#include "unigram.h"

#include <stdbool.h>

#include "model.h"
#include "pieces.h"
#include "score.h"
#include "utf8.h"

#if TL_ALGORITHM == TL_UNIGRAM

/* Path sums are stored as doubles, or rounded to floats, as in the library that the tokenizer comes from. */
#if TL_WIDE_SUMS
typedef uint64_t sum_t;
#define WIDE(sum) (sum)
#define KEEP(wide) (wide)
#else
typedef uint32_t sum_t;
#define WIDE(sum) tl_score_widen(sum)
#define KEEP(wide) tl_score_narrow(wide)
#endif

#if TL_WIDE_SCORES
#define SCORE(slot) tl_piece_score[slot]
#else
#define SCORE(slot) tl_score_widen(tl_piece_score[slot])
#endif

/* The best path to each byte of the word: the sum of its scores, and the length of its last piece, 0 for no path. */
static sum_t best_sum[TL_TEXT_MAX + 2u];
static tl_length_t last_length[TL_TEXT_MAX + 2u];

static void offer(uint32_t begin, uint32_t length, sum_t sum) {
    const uint32_t end = begin + length;
    if (last_length[end] == 0 || tl_score_above(WIDE(sum), WIDE(best_sum[end]))) {
        best_sum[end] = sum;
        last_length[end] = (tl_length_t)length;
    }
}

void tl_unigram_cut(const uint8_t *text, uint32_t n_bytes, tl_length_t *piece_length) {
    for (uint32_t i = 0; i <= n_bytes; i++) {
        last_length[i] = 0;
    }
    best_sum[0] = 0;
    uint32_t character;
    for (uint32_t begin = 0; begin < n_bytes; begin += character) {
        const uint64_t sum = WIDE(best_sum[begin]);
        character = tl_utf8_length(text + begin, n_bytes - begin);
        character = character == 0 || character > n_bytes - begin ? 1u : character;
        bool single = false;
        for (uint32_t group = 0; group < TL_PIECE_LENGTHS; group++) {
            if (tl_piece_group[group].length <= TL_JOINS) {
                continue;
            }
            const uint32_t length = tl_piece_group[group].length - TL_JOINS;
            if (length > n_bytes - begin) {
                break;
            }
            const tl_token_t slot = tl_find_slot(text + begin, length);
            if (slot != TL_NO_SLOT) {
                offer(begin, length, KEEP(tl_score_add(SCORE(slot), sum)));
                single = single || length == character;
            }
        }
        if (!single) {
            offer(begin, character, KEEP(tl_score_add(TL_UNKNOWN_SCORE, sum)));
        }
    }
    for (uint32_t end = n_bytes; end > 0; end -= last_length[end]) {
        piece_length[end - last_length[end]] = last_length[end];
    }
}

#endif
