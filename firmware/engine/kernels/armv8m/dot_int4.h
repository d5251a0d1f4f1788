/* The dot products of int4 codes: the parts that one token and several tokens share.
 *
 * A half of a word has four codes, h = n0 + 16 * n1 + 256 * b; the byte b = n2 + 16 * n3 is signed. With four halves of
 * the input,
 *     h * x1 + n0 * (16 * x0 - x1) + b * (x3 - 256 * x1) + n2 * (16 * x2 - x3)
 *     = 16 * (n0 * x0 + n1 * x1 + n2 * x2 + n3 * x3):
 * eight products take four SMLAD, SXTB16 and two ANDs. n0, n1 and n2 are codes plus 8, so a sum starts at -128 times
 * the sum of their x. This start value is a word before the input of a scale's columns.
 */
#ifndef TL_DOT_INT4_H
#define TL_DOT_INT4_H

#include <string.h>

#include "dsp.h"
#include "kernels.h"

#define WORD_COLUMNS 8u
#define ROWS_TOGETHER 4u
/* 16 columns, and their bytes: of four rows, and of an input. */
#define HALF_COLUMNS (TL_SCALE_COLUMNS / 2u)
#define HALF_BYTES 32u
/* Bytes of four rows and 32 columns: words and scales. */
#define SCALE_BYTES (2u * HALF_BYTES + ROWS_TOGETHER)
/* 16 times a sum must fit int32, as it does up to 16 scales: 16 * 255 * 32 * 8 * 127 * 16 < 2^31. */
#define MOST_SCALES 16u

/* The columns of four rows: how many scales, and whether the last scale, whose columns come first, has 16 or 32. */
struct columns {
    uint32_t scales;
    uint32_t cut; /* 1: the first scale has 16 columns; 0: it has 32 */
};

static inline struct columns columns_of(uint32_t n) {
    const uint32_t halves = (n + HALF_COLUMNS - 1u) / HALF_COLUMNS;
    const struct columns columns = {(halves + 1u) / 2u, halves & 1u};
    return columns;
}

/* The bytes that these columns take, of four rows or of an input. */
static inline uint32_t bytes_of(struct columns columns) {
    return columns.scales * SCALE_BYTES - columns.cut * HALF_BYTES;
}

/* The part of the columns left that one sum can take; then behind(): the columns after that part. */
static inline struct columns at_most(struct columns left) {
    const struct columns now = {left.scales < MOST_SCALES ? left.scales : MOST_SCALES, left.cut};
    return now;
}

static inline struct columns behind(struct columns left, struct columns now) {
    const struct columns others = {left.scales - now.scales, 0};
    return others;
}

/* The number of fours of rows in these groups; the last group may have fewer than four of them. */
static inline uint32_t fours_of(const struct tl_matrix *w, uint32_t first, uint32_t last) {
    const uint32_t all = (w->rows + ROWS_TOGETHER - 1u) / ROWS_TOGETHER, end = 4u * last < all ? 4u * last : all;
    return first == last ? 0 : end - 4u * first;
}

static TL_INLINE void expand_columns(const int8_t *codes, uint32_t n, uint32_t tokens, uint8_t *input) {
    const uint32_t next = 4u * tokens;
    int32_t sum = 0;
    uint8_t *at = input + next;
    for (uint32_t i = 0; i < n; i += WORD_COLUMNS, at += 4u * next) {
        const uint32_t low = tl_load_word(codes + i), high = tl_load_word(codes + i + 4);
        const uint32_t x0 = tl_sxtb16(low), x1 = tl_sxtb16_ror8(low), x2 = tl_sxtb16(high), x3 = tl_sxtb16_ror8(high);
        sum = tl_smlad(x0, 0x10001u, tl_smlad(x1, 0x10001u, tl_smlad(x2, 0x10001u, sum)));
        const uint32_t even = tl_ssub16(x0 << 4 & 0xFFF0FFF0u, x1), bytes = tl_ssub16(x3, low & 0xFF00FF00u);
        const uint32_t low_bytes = tl_ssub16(x2 << 4 & 0xFFF0FFF0u, x3);
        if (tokens == 1) {
            tl_store_two(at, x1, even);
            tl_store_two(at + 8, bytes, low_bytes);
        } else {
            tl_store_word(at, x1);
            tl_store_word(at + next, even);
            tl_store_word(at + 2u * next, bytes);
            tl_store_word(at + 3u * next, low_bytes);
        }
    }
    tl_store_word(input, (uint32_t)(-128 * sum));
}

/* Expands codes (n,), filled up with zeros to a multiple of 16, to an input whose words are `tokens` words apart. */
static TL_INLINE void expand_int4(const int8_t *codes, uint32_t n, uint32_t tokens, uint8_t *input) {
    const struct columns columns = columns_of(n);
    const uint32_t others = (columns.scales - 1u) * TL_SCALE_COLUMNS, width = (2u - columns.cut) * HALF_COLUMNS;
    int8_t last[TL_SCALE_COLUMNS] = {0};
    memcpy(last, codes + others, n - others);
    expand_columns(last, width, tokens, input);
    input += tokens * (4u + 2u * width);
    for (uint32_t i = 0; i < others; i += TL_SCALE_COLUMNS, input += tokens * SCALE_BYTES) {
        expand_columns(codes + i, TL_SCALE_COLUMNS, tokens, input);
    }
}

#define LOW_CODES "#0x000F000F"

#if !defined(TL_DSP)

/* Adds the four products of each half of a word to a sum. The input's words are `next` bytes apart. */
static inline int32_t tl_add_word(uint32_t w, const uint8_t *input, uint32_t next, int32_t sum) {
    const uint32_t bytes = tl_sxtb16_ror8(w);
    sum = tl_smlad(w, tl_load_word(input), sum);
    sum = tl_smlad(w & 0x000F000Fu, tl_load_word(input + next), sum);
    sum = tl_smlad(bytes, tl_load_word(input + 2u * next), sum);
    return tl_smlad(bytes & 0x000F000Fu, tl_load_word(input + 3u * next), sum);
}

#endif

#endif
