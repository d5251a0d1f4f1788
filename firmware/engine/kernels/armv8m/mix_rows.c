/* Two slots at a time: the halves of one word are their weights, the halves of another are their values in one channel.
 * SMLAD adds both products. Two heads share the values.
 */
#include <stddef.h>

#include "dsp.h"
#include "kernels.h"

/* Pairs of slots that are on the stack at a time. */
#define MOST_PAIRS 16u

/* The weights of two slots for each head, and their values; first is NULL after the last pair. */
struct pair {
    uint32_t weights[TL_HEADS_AT_ONCE];
    const int8_t *first, *second;
};

#if defined(TL_DSP)

/* A loop over the pairs, up to one without values: adds to the sums of four channels of two heads. r0: the next pair.
 * r7 to r10: the sums of one head. r11, r12, lr, r1: those of the other. */
#define MIX_FOUR(offset)                                                                                               \
    "1:\n"                                                                                                             \
    "ldmia r0!, {r2, r3, r4, r5}\n"                                                                                    \
    "cbz r4, 2f\n"                                                                                                     \
    "ldr r4, [r4, #" offset "]\n"                                                                                      \
    "ldr r5, [r5, #" offset "]\n"                                                                                      \
    "pkhbt r6, r4, r5, lsl #16\n"                                                                                      \
    "pkhtb r5, r5, r4, asr #16\n"                                                                                      \
    "sxtb16 r4, r6\n"                                                                                                  \
    "sxtb16 r6, r6, ror #8\n"                                                                                          \
    "smlad r7, r4, r2, r7\n"                                                                                           \
    "smlad r11, r4, r3, r11\n"                                                                                         \
    "smlad r8, r6, r2, r8\n"                                                                                           \
    "smlad r12, r6, r3, r12\n"                                                                                         \
    "sxtb16 r4, r5\n"                                                                                                  \
    "sxtb16 r5, r5, ror #8\n"                                                                                          \
    "smlad r9, r4, r2, r9\n"                                                                                           \
    "smlad lr, r4, r3, lr\n"                                                                                           \
    "smlad r10, r5, r2, r10\n"                                                                                         \
    "smlad r1, r5, r3, r1\n"                                                                                           \
    "b 1b\n"                                                                                                           \
    "2:\n"

/* Adds to the sums of eight channels of two heads. The loop needs every register. A compiler that chooses them itself does
 * not always find room for that many operands, so they are named here, and the arguments wait on the stack. */
/* clang-format off */
TL_HOT __attribute__((noinline)) static void mix_eight(const struct pair *pairs, int32_t *sums, int32_t *sums1) {
    __asm__ volatile(
        "ldr r0, %[pairs]\n"
        "ldr r1, %[sums]\n"
        "ldr r2, %[sums1]\n"
        "ldmia r1, {r7, r8, r9, r10}\n"
        "ldmia r2, {r11, r12, lr}\n"
        "ldr r1, [r2, #12]\n"
        MIX_FOUR("0")
        "ldr r2, %[sums]\n"
        "stmia r2!, {r7, r8, r9, r10}\n"
        "ldmia r2, {r7, r8, r9, r10}\n"
        "ldr r2, %[sums1]\n"
        "stmia r2!, {r11, r12, lr}\n"
        "str r1, [r2], #4\n"
        "ldmia r2, {r11, r12, lr}\n"
        "ldr r1, [r2, #12]\n"
        "ldr r0, %[pairs]\n"
        MIX_FOUR("4")
        "ldr r2, %[sums]\n"
        "add r2, r2, #16\n"
        "stmia r2, {r7, r8, r9, r10}\n"
        "ldr r2, %[sums1]\n"
        "add r2, r2, #16\n"
        "stmia r2!, {r11, r12, lr}\n"
        "str r1, [r2]\n"
        :
        : [pairs] "m"(pairs), [sums] "m"(sums), [sums1] "m"(sums1)
        : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
}
/* clang-format on */

#else

/* Adds to the sums of four channels of two heads: the channels from `offset`, 0 or 4, on. */
static void mix_four(const struct pair *pair, const int offset, int32_t *sums, int32_t *sums1) {
    int32_t a0 = sums[0], a1 = sums[1], a2 = sums[2], a3 = sums[3];
    int32_t b0 = sums1[0], b1 = sums1[1], b2 = sums1[2], b3 = sums1[3];
    for (; pair->first != NULL; pair++) {
        const uint32_t first = tl_load_word(pair->first + offset), second = tl_load_word(pair->second + offset);
        const uint32_t low = tl_pkhbt(first, second), high = tl_pkhtb(first, second);
        const uint32_t v0 = tl_sxtb16(low), v1 = tl_sxtb16_ror8(low), v2 = tl_sxtb16(high), v3 = tl_sxtb16_ror8(high);
        a0 = tl_smlad(v0, pair->weights[0], a0), b0 = tl_smlad(v0, pair->weights[1], b0);
        a1 = tl_smlad(v1, pair->weights[0], a1), b1 = tl_smlad(v1, pair->weights[1], b1);
        a2 = tl_smlad(v2, pair->weights[0], a2), b2 = tl_smlad(v2, pair->weights[1], b2);
        a3 = tl_smlad(v3, pair->weights[0], a3), b3 = tl_smlad(v3, pair->weights[1], b3);
    }
    sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
    sums1[0] = b0, sums1[1] = b1, sums1[2] = b2, sums1[3] = b3;
}

/* Adds to the sums of eight channels of two heads. */
static void mix_eight(const struct pair *pairs, int32_t *sums, int32_t *sums1) {
    mix_four(pairs, 0, sums, sums1);
    mix_four(pairs, 4, sums + 4, sums1 + 4);
}

#endif

/* Fills in the pairs of `slots` slots. If the number is odd, the last slot is paired with itself at a weight of 0. */
TL_HOT static void pair_slots(const struct tl_mix_job *job, uint32_t slot, uint32_t slots, struct pair *pair) {
    const uint32_t n = job->head_dim;
    const int32_t down0 = job->down[0], down1 = job->down[1], half0 = (1 << down0) >> 1, half1 = (1 << down1) >> 1;
    const int32_t *first = job->weights + slot, *second = first + job->stride;
    const int8_t *value = job->values + (size_t)slot * n;
    for (const struct pair *end = pair + slots / 2; pair < end; pair++, first += 2, second += 2, value += 2 * n) {
        const int32_t a0 = first[0], a1 = first[1], b0 = second[0], b1 = second[1];
        pair->weights[0] = tl_pkhbt((uint32_t)((a0 + half0) >> down0), (uint32_t)((a1 + half0) >> down0));
        pair->weights[1] = tl_pkhbt((uint32_t)((b0 + half1) >> down1), (uint32_t)((b1 + half1) >> down1));
        pair->first = value;
        pair->second = value + n;
    }
    if (slots % 2 != 0) {
        *pair++ = (struct pair){
            {(uint32_t)((*first + half0) >> down0), (uint32_t)((*second + half1) >> down1)}, value, value};
    }
    pair->first = NULL;
}

/* Two heads, whole eights of channels. */
TL_HOT static void mix_two(const struct tl_mix_job *job, int32_t *sums) {
    const uint32_t n = job->head_dim;
    struct pair pairs[MOST_PAIRS + 1u];
    for (uint32_t slot = 0; slot < job->slots; slot += 2u * MOST_PAIRS) {
        const uint32_t left = job->slots - slot;
        pair_slots(job, slot, left < 2u * MOST_PAIRS ? left : 2u * MOST_PAIRS, pairs);
        for (uint32_t i = 0; i < n; i += 8) {
            mix_eight(pairs, sums + i, sums + n + i);
            if (i + 8 == n) break;
            for (struct pair *pair = pairs; pair->first != NULL; pair++) pair->first += 8, pair->second += 8;
        }
    }
}

/* One head, whole fours of channels. */
TL_HOT static void mix_one(const struct tl_mix_job *job, uint32_t h, int32_t *sums) {
    const uint32_t n = job->head_dim, even = job->slots & ~1u;
    const int32_t *weights = job->weights + (size_t)h * job->stride;
    const int32_t down = job->down[h], half = (1 << down) >> 1;
    for (uint32_t i = 0; i < n; i += 4) {
        const int8_t *value = job->values + i;
        int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        for (uint32_t t = 0; t < job->slots; t += 2, value += 2 * n) {
            const int32_t other = t < even ? (weights[t + 1] + half) >> down : 0;
            const uint32_t pair = tl_pkhbt((uint32_t)((weights[t] + half) >> down), (uint32_t)other);
            const uint32_t first = tl_load_word(value), second = t < even ? tl_load_word(value + n) : first;
            const uint32_t low = tl_pkhbt(first, second), high = tl_pkhtb(first, second);
            sum0 = tl_smlad(tl_sxtb16(low), pair, sum0);
            sum1 = tl_smlad(tl_sxtb16_ror8(low), pair, sum1);
            sum2 = tl_smlad(tl_sxtb16(high), pair, sum2);
            sum3 = tl_smlad(tl_sxtb16_ror8(high), pair, sum3);
        }
        sums[i] = sum0, sums[i + 1] = sum1, sums[i + 2] = sum2, sums[i + 3] = sum3;
    }
}

TL_HOT static void mix_any(const struct tl_mix_job *job, uint32_t h, int32_t *sums) {
    const uint32_t n = job->head_dim;
    const int32_t *weights = job->weights + (size_t)h * job->stride;
    const int32_t down = job->down[h], half = (1 << down) >> 1;
    for (uint32_t t = 0; t < job->slots; t++) {
        const int8_t *value = job->values + (size_t)t * n;
        const int32_t weight = (weights[t] + half) >> down;
        for (uint32_t i = 0; i < n; i++) sums[i] += weight * value[i];
    }
}

TL_HOT void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums) {
    const uint32_t n = job->head_dim;
    for (uint32_t i = 0; i < job->heads * n; i++) sums[i] = 0;
    if (job->heads == 2 && n % 8 == 0) {
        mix_two(job, sums);
        return;
    }
    for (uint32_t h = 0; h < job->heads; h++) {
        if (n % 4 == 0) {
            mix_one(job, h, sums + (size_t)h * n);
        } else {
            mix_any(job, h, sums + (size_t)h * n);
        }
    }
}
