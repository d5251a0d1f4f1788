/* The kernels: the inner loops of the model, int8 in, int32 out.
 *
 * firmware/engine/kernels/ has a folder for each kernel set. generic/ is portable C and defines the result of each
 * function. Another set's folder replaces some of its files by faster ones with bit-exact results. The layout.h of a
 * set says how a matrix and an input lie in memory; codegen/kernels/ writes the matrices in this layout.
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

/* Called once at the start, before any other kernel. Checks on built-in problems that the set's own instructions
 * compute what the portable C does. If not, it returns false, and the portable C does their work from then on. */
bool tl_kernels_start(void);

/* W (rows, columns): value = code * mantissa[row] * 2^exponent. An int4 code is multiplied by a scale too, which 32
 * columns of a row share. A group is TL_GROUP_ROWS or TL_INT4_GROUP_ROWS rows whose codes lie together in group_bytes,
 * a multiple of 16, 16-byte aligned. The last group is filled up with rows of zeros; 16 readable bytes follow it. */
struct tl_matrix {
    const uint8_t *groups;    /* (ceil(rows / group rows), group_bytes) */
    const uint16_t *mantissa; /* (rows,) */
    uint32_t rows;
    uint32_t columns;
    uint32_t group_bytes;
    int32_t exponent;
    int32_t most;  /* no row times int8 codes is larger in magnitude */
    uint32_t bits; /* 8 or 4 */
};

/* Expands the codes (n,) of a vector to the layout that tl_dot_groups reads: TL_INPUT_BYTES(n) bytes, 16-byte
 * aligned. */
void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input);

/* sums (TL_GROUP_ROWS * (last - first),) = W @ x of the groups first <= g < last of W (rows, columns); `input` is the
 * expanded codes x (columns,). At most 133,144 columns, so that int32 cannot overflow. */
void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums);

/* Expands the codes (tokens, n) of at least two tokens, `stride` bytes apart, to the layout that tl_dot_tokens reads:
 * tokens * TL_INPUT_BYTES(n) bytes, 16-byte aligned. */
void tl_expand_tokens(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs);

/* tl_dot_groups for each of the tokens that were expanded together. The sums of token t begin at sums[t * stride]. */
void tl_dot_tokens(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first, uint32_t last,
                   int32_t *sums, uint32_t stride);

/* Code of W at a row and column, within +-127. */
int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column);

/* Columns of a row of int4 codes that share a scale. */
#define TL_SCALE_COLUMNS 32u

/* The same for a W of int4 codes, -8 to 7, each of which is multiplied by the scale of its 32 columns, 1 to 255.
 * tl_code_int4 is that product. At most 8,289 columns, so that int32 cannot overflow. */
void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input);
void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums);
void tl_expand_tokens_int4(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs);
void tl_dot_tokens_int4(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first,
                        uint32_t last, int32_t *sums, uint32_t stride);
int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column);

/* values[i] = saturate(values[i] * mantissa[i] * multiplier / 2^right) to nearest, ties up, i < n. mantissa[i] *
 * multiplier < 2^31, any right; no value is -2^31. */
void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right);

/* For each token t, i < n: value = values[t * stride + i] becomes saturate(value * mantissa[i] * scales[t] *
 * 2^exponent) to nearest, ties up. most: no value's magnitude is larger. */
void tl_requantize_tokens(int32_t *values, uint32_t stride, uint32_t tokens, const uint16_t *mantissa, uint32_t n,
                          const struct tl_scale *scales, int32_t exponent, int32_t most);

/* results[i] = saturate(values[i] * multiplier / 2^right) to nearest, ties up, i < n. 0 <= multiplier < 2^31, any
 * right; no value is -2^31. values and results may be the same array. */
void tl_requantize_vector(const int32_t *values, uint32_t n, int32_t multiplier, int32_t right, int32_t *results);

/* codes (n,) = (vector (n,) >> right) * reciprocal / 2^23 to nearest, ties up. The products are below 2^30, the
 * reciprocal is 2^30 at most. */
void tl_quantize_codes(const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes);

/* For RMSNorm: products (n,) = (x (n,) >> down) * gain (n,); a negative `down` is a shift to the left. The shifted
 * numbers have 15 bits and a sign. Adds their squares to *squares. Returns the largest magnitude of a product. */
uint32_t tl_gain_products(const int32_t *x, const int16_t *gain, uint32_t n, int32_t down, int32_t *products,
                          uint64_t *squares);

/* gate (n,) = silu(gate) * up, of Q16.16 vectors (n,) that have 15 bits once shifted right by gate_down and up_down.
 * The result is in units of 2^(gate_down + up_down - 16) of Q16.16. Returns its largest magnitude, 2^30 at most. */
uint32_t tl_silu_elements(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down, int32_t up_down);

/* The index of the first of the values (n,) that is above the bound, or n. */
uint32_t tl_first_above(const int32_t *values, uint32_t n, int32_t bound);

/* Copies the values (n,) that are above the bound, in their order; copies and values may begin at the same address. Bit
 * i % 32 of marks[i / 32] says whether values[i] was copied. Returns the number of copies. Returns room + 1 if, before
 * all values were read, there was no room for 32 more copies. */
uint32_t tl_copy_above(const int32_t *values, uint32_t n, int32_t bound, int32_t *copies, uint32_t room,
                       uint32_t *marks);

/* Entries of a histogram of distances to the largest logit. */
#define TL_DISTANCES 128u

/* counts[(from - v) >> shift] += 1 for each v of the values (n,), unless the index is TL_DISTANCES or more. */
void tl_count_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts);

/* The same for the largest v of each values[i], values[i + n], values[i + 2 n] and values[i + 3 n], i < n. */
void tl_count_least_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts);

/* *sum = the sum of the probabilities, Q30, of the logits (n,). */
void tl_sum_probabilities(const int32_t *logits, uint32_t n, const struct tl_exponents *exponents, uint64_t *sum);

/* Query heads of one KV head that tl_score_rows and tl_mix_rows take at once. */
#define TL_HEADS_AT_ONCE 2u

/* The query heads of one KV head, their keys and their scores. */
struct tl_score_job {
    const int8_t *queries;      /* (heads, head_dim) */
    const int8_t *keys;         /* (slots, head_dim), 16 readable bytes after the last */
    const uint16_t *key_scales; /* (slots,) packed */
    int32_t *scores;            /* (heads, stride): of head h at slot t in [h * stride + t] */
    uint32_t heads;             /* 1 or 2 */
    uint32_t head_dim;
    uint32_t stride;
    int32_t top;       /* no key's exponent is larger */
    int32_t dot_shift; /* query . key >> this, times a key's mantissa, fits int32 */
};

/* scores = queries @ keys^T for the slots first <= t < last, each key with its scale:
 * ((query . key) >> dot_shift) * mantissa >> (top - exponent). */
void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last);

/* The softmax of one head: total of the probabilities and the exponent of the weights. */
struct tl_softmax {
    uint32_t total;   /* sum of the probabilities, Q15 */
    int32_t down;     /* a weight >> down has at most `bits` bits */
    int32_t exponent; /* of the weights >> down, for Q16.16 values */
};

/* Turns scores (slots,) into weights (slots,), in place: probability times the mantissa of V's scale, in units of
 * 2^top. A score times `scale` is octaves (log2) in units of 2^-16. No exponent of v_scales (slots,) is above top.
 * bits: bits of a weight >> down, at most 15. */
struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales, int32_t top,
                                     uint32_t slots, int32_t bits);

/* The attention weights of the query heads of one KV head, and its values V. weight[t] >> down to nearest, ties up, is
 * below 2^15 and multiplies V[t]. */
struct tl_mix_job {
    const int32_t *weights; /* (heads, stride): of head h at slot t in [h * stride + t] */
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
