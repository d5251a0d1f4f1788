/* What a kernel set supplies: the inner loops, int8 in, int32 out.
 *
 * firmware/engine/kernels/ has a folder for each set. generic/ is portable C and defines what each function gives;
 * another set's folder has the files of the same names that it does better, and every result is the same. Its layout.h
 * says how a matrix and an input lie in memory; codegen/kernels/ writes the matrices so.
 */
#ifndef TL_KERNELS_H
#define TL_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "exponents.h"
#include "fixedpoint.h"
#include "layout.h"
#include "layout_int4.h"
#include "placement.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called once at the start, before any of the others: whether the set's own instructions compute what the portable C does,
 * on problems that are built in. If not, the portable C does their work from then on. */
bool tl_kernels_start(void);

/* W (rows, columns): value = code * mantissa[row] * 2^exponent, of int4 codes times the scale of 32 columns of a row too.
 * The codes of TL_GROUP_ROWS or TL_INT4_GROUP_ROWS rows lie together, in group_bytes, a multiple of 16, and start 16-byte
 * aligned; the last group is filled up with rows of zeros. 16 readable bytes follow it. */
struct tl_matrix {
    const uint8_t *groups;
    const uint16_t *mantissa;
    uint32_t rows;
    uint32_t columns;
    uint32_t group_bytes;
    int32_t exponent;
    int32_t most;  /* no sum with int8 codes is larger in magnitude */
    uint32_t bits; /* 8 or 4 */
};

/* Codes (n,) as tl_dot_groups reads them: TL_INPUT_BYTES(n), 16-byte aligned. */
void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input);

/* sums (TL_GROUP_ROWS * (last - first),) = the rows of these groups of W (rows, columns) times the codes (columns,) that
 * were expanded. At most 133,144 columns, so that int32 cannot overflow. */
void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums);

/* The codes (n,) of several tokens, more than one, `stride` bytes apart, as tl_dot_tokens reads them: tokens * TL_INPUT_BYTES(n), 16-byte
 * aligned. */
void tl_expand_tokens(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs);

/* What tl_dot_groups gives for each of the tokens that were expanded together: of token t from sums[t * stride] on. */
void tl_dot_tokens(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first, uint32_t last,
                   int32_t *sums, uint32_t stride);

/* Code of W at a row and column, within +-127. */
int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column);

/* Columns of a row of int4 codes that share a scale. */
#define TL_SCALE_COLUMNS 32u

/* The same for a W of int4 codes, within -8 and 7, each times the scale of its columns, 1 to 255; that of the code times
 * its scale. At most 8,289 columns, so that int32 cannot overflow. */
void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input);
void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums);
void tl_expand_tokens_int4(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs);
void tl_dot_tokens_int4(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first,
                        uint32_t last, int32_t *sums, uint32_t stride);
int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column);

/* values[i] = saturate(values[i] * mantissa[i] * multiplier / 2^right) to nearest, ties up, i < n. mantissa[i] *
 * multiplier < 2^31, any right; no value is -2^31. */
void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right);

/* Of each token t, from values[t * stride] on: saturate(value * mantissa[i] * scale * 2^exponent) to nearest, ties up, i < n.
 * most: no value's magnitude is larger. */
void tl_requantize_tokens(int32_t *values, uint32_t stride, uint32_t tokens, const uint16_t *mantissa, uint32_t n,
                          const struct tl_scale *scales, int32_t exponent, int32_t most);

/* results[i] = saturate(values[i] * multiplier / 2^right) to nearest, ties up, i < n. 0 <= multiplier < 2^31, any right; no
 * value is -2^31. values and results may be the same. */
void tl_requantize_vector(const int32_t *values, uint32_t n, int32_t multiplier, int32_t right, int32_t *results);

/* codes (n,) = (vector (n,) >> right) * reciprocal / 2^23 to nearest, ties up. The products are below 2^30, the reciprocal
 * is 2^30 at most. */
void tl_quantize_codes(const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes);

/* products (n,) = (x (n,) >> down) * gain (n,); a negative `down` is a shift to the left. The shifted numbers have 15 bits
 * and a sign. Adds their squares to *squares and gives the largest magnitude of a product. */
uint32_t tl_gain_products(const int32_t *x, const int16_t *gain, uint32_t n, int32_t down, int32_t *products,
                          uint64_t *squares);

/* gate (n,) = silu(gate) * up of Q16.16 vectors (n,), which shifted right by gate_down and up_down have 15 bits; in units
 * of 2^(gate_down + up_down - 16) of Q16.16. Gives their largest magnitude, 2^30 at most. */
uint32_t tl_silu_elements(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down, int32_t up_down);

/* The index of the first of the values (n,) that is above the bound, or n. */
uint32_t tl_first_above(const int32_t *values, uint32_t n, int32_t bound);

/* Copies those of the values (n,) that are above the bound, in their order; copies and values may begin at the same
 * address. Bit i % 32 of marks[i / 32] says whether values[i] was copied. Returns how many were, or room + 1 if there was no
 * more room for 32 copies before all values were read. */
uint32_t tl_copy_above(const int32_t *values, uint32_t n, int32_t bound, int32_t *copies, uint32_t room,
                       uint32_t *marks);

/* Ranges of distances. */
#define TL_DISTANCES 128u

/* counts[(from - v) >> shift] += 1 for the values v (n,), unless that is TL_DISTANCES or more. */
void tl_count_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts);

/* The same for the largest v of each values[i], values[i + n], values[i + 2 n] and values[i + 3 n], i < n. */
void tl_count_least_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts);

/* *sum: of the probabilities, Q30, of logits (n,). */
void tl_sum_probabilities(const int32_t *logits, uint32_t n, const struct tl_exponents *exponents, uint64_t *sum);

/* Query heads that tl_score_rows and tl_mix_rows take at once. */
#define TL_HEADS_AT_ONCE 2u

/* Query heads (heads, head_dim), their keys, and where their scores go: of head h at slot t to scores[h * stride + t]. */
struct tl_score_job {
    const int8_t *queries;
    const int8_t *keys;         /* (slots, head_dim), 16 readable bytes after the last */
    const uint16_t *key_scales; /* (slots,) packed */
    int32_t *scores;
    uint32_t heads; /* 1 or 2 */
    uint32_t head_dim;
    uint32_t stride;
    int32_t top;       /* no key's exponent is larger */
    int32_t dot_shift; /* of the sums, so that their product with a mantissa fits int32 */
};

/* Scores of the slots first <= t < last: ((query . key) >> dot_shift) * mantissa >> (top - exponent) of the key's scale. */
void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last);

/* What the scores of a head became: weights for V. */
struct tl_softmax {
    uint32_t total;   /* of the probabilities, Q15 */
    int32_t down;     /* a weight >> down has at most `bits` bits */
    int32_t exponent; /* of the weights >> down, for Q16.16 values */
};

/* Turns scores (slots,), which times `scale` are 2^-16 octaves, into weights: probability times the mantissa of V's
 * scale, in units of 2^top, which no exponent of v_scales (slots,) exceeds. bits: what a weight may have, at most 15. */
struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales, int32_t top,
                                     uint32_t slots, int32_t bits);

/* The weights of a head's slots: weight[t] >> down to nearest, ties up, is below 2^15 and multiplies V[t]. */
struct tl_mix_job {
    const int32_t *weights; /* (heads, stride), of head h at slot t at [h * stride + t] */
    const int8_t *values;   /* (slots, head_dim), 16 readable bytes after the last */
    uint32_t heads;         /* 1 or 2 */
    uint32_t head_dim;
    uint32_t stride;
    uint32_t slots;
    int32_t down[TL_HEADS_AT_ONCE];
};

/* sums (heads, head_dim) = weights (heads, slots) @ values (slots, head_dim) */
void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums);

#ifdef __cplusplus
}
#endif

#endif
