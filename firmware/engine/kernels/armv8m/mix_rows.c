/* Two positions at a time: a word has their weights, and another their values in one channel, so that SMLAD adds both
 * products. Both heads share the values.
 */
#include <stddef.h>

#include "dsp.h"
#include "kernels.h"

/* Pairs of positions whose weights are on the stack at a time. */
#define MOST_PAIRS 32u

struct pair {
    uint32_t weights[TL_HEADS_AT_ONCE];
};

/* Adds to the sums of four channels of one or two heads; a pair's second row lies `next` bytes after the first. */
static TL_INLINE void mix_four(const int8_t *value, uint32_t step, uint32_t next, const struct pair *pair,
                               uint32_t pairs, uint32_t heads, int32_t *sums, int32_t *sums1) {
    int32_t a0 = sums[0], a1 = sums[1], a2 = sums[2], a3 = sums[3];
    int32_t b0 = 0, b1 = 0, b2 = 0, b3 = 0;
    if (heads == 2) b0 = sums1[0], b1 = sums1[1], b2 = sums1[2], b3 = sums1[3];
    for (const struct pair *end = pair + pairs; pair < end; pair++, value += step) {
        const uint32_t first = tl_load_word(value), second = tl_load_word(value + next);
        const uint32_t low = tl_pkhbt(first, second), high = tl_pkhtb(first, second);
        const uint32_t v0 = tl_sxtb16(low), v1 = tl_sxtb16_ror8(low), v2 = tl_sxtb16(high), v3 = tl_sxtb16_ror8(high);
        const uint32_t a = pair->weights[0];
        a0 = tl_smlad(v0, a, a0);
        a1 = tl_smlad(v1, a, a1);
        a2 = tl_smlad(v2, a, a2);
        a3 = tl_smlad(v3, a, a3);
        if (heads == 1) continue;
        const uint32_t b = pair->weights[1];
        b0 = tl_smlad(v0, b, b0);
        b1 = tl_smlad(v1, b, b1);
        b2 = tl_smlad(v2, b, b2);
        b3 = tl_smlad(v3, b, b3);
    }
    sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
    if (heads == 2) sums1[0] = b0, sums1[1] = b1, sums1[2] = b2, sums1[3] = b3;
}

static void mix(const struct tl_mix_job *job, uint32_t slot, uint32_t next, const struct pair *pairs, uint32_t n_pairs,
                int32_t *sums) {
    const uint32_t n = job->head_dim;
    const int8_t *value = job->values + (size_t)slot * n;
    for (uint32_t i = 0; i < n; i += 4) {
        if (job->heads == 1) {
            mix_four(value + i, 2 * n, next, pairs, n_pairs, 1, sums + i, sums);
        } else {
            mix_four(value + i, 2 * n, next, pairs, n_pairs, 2, sums + i, sums + n + i);
        }
    }
}

static void pack(const struct tl_mix_job *job, uint32_t slot, uint32_t slots, struct pair *pairs) {
    for (uint32_t h = 0; h < job->heads; h++) {
        const int32_t *weights = job->weights + (size_t)h * job->stride + slot;
        const int32_t down = job->down[h], half = (1 << down) >> 1;
        for (uint32_t i = 0; i < slots / 2; i++, weights += 2) {
            pairs[i].weights[h] =
                tl_pkhbt((uint32_t)((weights[0] + half) >> down), (uint32_t)((weights[1] + half) >> down));
        }
        if (slots % 2 != 0) pairs[slots / 2].weights[h] = (uint32_t)((weights[0] + half) >> down);
    }
}

static void mix_any(const struct tl_mix_job *job, int32_t *sums) {
    const uint32_t n = job->head_dim;
    for (uint32_t h = 0; h < job->heads; h++, sums += n) {
        const int32_t *weights = job->weights + (size_t)h * job->stride;
        const int32_t down = job->down[h], half = (1 << down) >> 1;
        for (uint32_t t = 0; t < job->slots; t++) {
            const int8_t *value = job->values + (size_t)t * n;
            const int32_t weight = (weights[t] + half) >> down;
            for (uint32_t i = 0; i < n; i++) sums[i] += weight * value[i];
        }
    }
}

void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums) {
    const uint32_t n = job->head_dim;
    struct pair pairs[MOST_PAIRS];
    for (uint32_t i = 0; i < job->heads * n; i++) sums[i] = 0;
    if (n % 4 != 0) {
        mix_any(job, sums);
        return;
    }
    for (uint32_t slot = 0; slot < job->slots; slot += 2 * MOST_PAIRS) {
        const uint32_t left = job->slots - slot, slots = left < 2 * MOST_PAIRS ? left : 2 * MOST_PAIRS;
        pack(job, slot, slots, pairs);
        mix(job, slot, n, pairs, slots / 2, sums);
        /* The last of an odd number is its own second row, whose weight is 0. */
        if (slots % 2 != 0) mix(job, slot + slots - 1, 0, pairs + slots / 2, 1, sums);
    }
}
