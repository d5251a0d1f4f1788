/* The portable kernels: plain C99, right on every chip, the measure for faster ones. */
#include "kernels.h"

#include <stddef.h>

#include "parallel.h"

int32_t tl_dot_s8s8(const int8_t *a, const int8_t *b, uint32_t n) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static int32_t row_times_vector(const struct tl_matrix *w, uint32_t row, const int8_t *x, struct tl_scale scale) {
    int32_t sum = tl_dot_s8s8(w->codes + (size_t)row * w->stride, x, w->columns);
    return tl_requantize(sum, w->mantissa[row] * scale.mantissa, -(w->exponent + scale.exponent + TL_FRACTION_BITS));
}

/* A matmul under way, static so that both cores see it. */
struct matmul {
    const struct tl_matrix *w;
    const int8_t *x;
    struct tl_scale scale;
    int32_t *y;
};
static struct matmul matmul;

static void matmul_rows(const void *job, uint32_t first, uint32_t last) {
    const struct matmul m = *(const struct matmul *)job;
    int32_t *y = m.y;
    for (uint32_t row = first; row < last; row++) y[row] = row_times_vector(m.w, row, m.x, m.scale);
}

static void matmul_add_rows(const void *job, uint32_t first, uint32_t last) {
    const struct matmul m = *(const struct matmul *)job;
    int32_t *y = m.y;
    for (uint32_t row = first; row < last; row++) {
        y[row] = tl_saturate((int64_t)y[row] + row_times_vector(m.w, row, m.x, m.scale));
    }
}

void tl_matmul_s8s8_q16(const struct tl_matrix *w, const int8_t *x, struct tl_scale scale, int32_t *y) {
    matmul = (struct matmul){w, x, scale, y};
    tl_parallel(matmul_rows, &matmul, w->rows, w->rows * w->columns);
}

void tl_matmul_add_s8s8_q16(const struct tl_matrix *w, const int8_t *x, struct tl_scale scale, int32_t *y) {
    matmul = (struct matmul){w, x, scale, y};
    tl_parallel(matmul_add_rows, &matmul, w->rows, w->rows * w->columns);
}

void tl_row_s8_q16(const struct tl_matrix *w, uint32_t index, int32_t *y) {
    const int8_t *codes = w->codes + (size_t)index * w->stride;
    for (uint32_t i = 0; i < w->columns; i++) {
        y[i] = tl_requantize(codes[i], w->mantissa[index], -(w->exponent + TL_FRACTION_BITS));
    }
}

void tl_add_q16(int32_t *y, const int32_t *bias, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) y[i] = tl_saturate((int64_t)y[i] + bias[i]);
}

void tl_silu_mul_q16(int32_t *gate, const int32_t *up, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) gate[i] = tl_silu_mul(gate[i], up[i]);
}

void tl_attention_scores(const int8_t *q, struct tl_scale scale, const int8_t *k, const uint16_t *k_scale,
                         uint32_t first, uint32_t last, uint32_t n, int32_t *scores) {
    for (uint32_t t = first; t < last; t++) {
        struct tl_scale other = tl_unpack_scale(k_scale[t]);
        scores[t] = tl_requantize(tl_dot_s8s8(q, k + (size_t)t * n, n), scale.mantissa * other.mantissa,
                                  -(scale.exponent + other.exponent));
    }
}

struct tl_softmax tl_attention_weights(int32_t *scores, const uint16_t *v_scale, uint32_t slots, int32_t bits) {
    int32_t highest = scores[0];
    for (uint32_t t = 1; t < slots; t++) highest = tl_max(highest, scores[t]);

    /* Probabilities, Q15: at least one is 32768. */
    uint32_t total = 0;
    int32_t top = -TL_SCALE_EXPONENT_BIAS;
    for (uint32_t t = 0; t < slots; t++) {
        uint32_t probability = (tl_exp2_q30(tl_saturate((int64_t)scores[t] - highest)) + (1u << 14)) >> 15;
        total += probability;
        if (probability > 0) top = tl_max(top, tl_unpack_scale(v_scale[t]).exponent);
        scores[t] = (int32_t)probability;
    }

    /* Times the scale of V, over one power of two: below 2^26. */
    int32_t largest = 0;
    for (uint32_t t = 0; t < slots; t++) {
        if (scores[t] == 0) continue;
        struct tl_scale scale = tl_unpack_scale(v_scale[t]);
        scores[t] = (scores[t] * scale.mantissa) >> tl_min(top - scale.exponent, 31);
        largest = tl_max(largest, scores[t]);
    }

    int32_t down = tl_max(tl_bit_length((uint32_t)largest) - bits, 0);
    for (uint32_t t = 0; t < slots; t++) {
        scores[t] = tl_min((int32_t)tl_rounding_shift(scores[t], down), (1 << bits) - 1);
    }
    struct tl_softmax softmax = {total, down + top};
    return softmax;
}

void tl_attention_mix(const int32_t *weights, struct tl_softmax softmax, const int8_t *v, uint32_t slots, uint32_t n,
                      int32_t *out) {
    for (uint32_t i = 0; i < n; i++) out[i] = 0;
    for (uint32_t t = 0; t < slots; t++) {
        for (uint32_t i = 0; i < n; i++) out[i] += weights[t] * v[t * n + i];
    }
    /* Divide by the total: as 16 bits, then its reciprocal as 17. */
    int32_t down = tl_bit_length(softmax.total) - 16;
    int32_t inverse = (int32_t)(0x80000000u / (softmax.total >> down));
    for (uint32_t i = 0; i < n; i++) out[i] = tl_requantize(out[i], inverse, 31 + down - softmax.exponent);
}
