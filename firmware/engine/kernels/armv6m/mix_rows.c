/* Weighted sums of values, four channels in a word, over the slots whose weight is not zero.
 *
 * With 128 added to each code a word is V = u0 + 2^8 u1 + 2^16 u2 + 2^24 u3. The loop adds up weight * (V >> 8 i)
 * modulo 2^32, so it has to extract no code. At the end the sum of weight * ui is the i-th sum minus 2^8 times the next
 * one.
 */
#include <stddef.h>

#include "kernels.h"

#define CHANNELS_AT_ONCE 4u
#define SLOTS_AT_ONCE 32u /* slots that are listed on the stack */
#define BIAS 0x80808080u

/* A slot whose weight is not zero, and the offset of its values. */
struct entry {
    uint32_t weight;
    uint32_t offset;
};

/* Operands of the assembly, which relies on their offsets: slots to add to the sums. */
struct mix {
    const struct entry *entries, *entries_end;
    const int8_t *values, *values_end; /* of slot 0 */
    uint32_t *sums;
    uint32_t bias;
};

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

/* r0: entries. r1: weight. r2: offset. r3: V. r5: values. r6: BIAS. r8 to r11: sums. r12: entries_end. lr: job. */
#define CHANNEL(shift, sum)                                                                                            \
    "lsrs r4, r3, #" shift "\n"                                                                                        \
    "muls r4, r1\n"                                                                                                    \
    "add " sum ", r4\n"

TL_HOT static void mix_entries(struct mix *job) {
    register struct mix *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "mov lr, r0\n"
                     "ldr r1, [r0, #4]\n"
                     "mov r12, r1\n"
                     "ldr r5, [r0, #8]\n"
                     "1:\n" /* four channels */
                     "ldr r6, [r0, #16]\n"
                     "ldmia r6!, {r1, r2, r3, r4}\n"
                     "mov r8, r1\n"
                     "mov r9, r2\n"
                     "mov r10, r3\n"
                     "mov r11, r4\n"
                     "ldr r6, [r0, #20]\n"
                     "ldr r0, [r0, #0]\n"
                     "2:\n" /* a slot */
                     "ldmia r0!, {r1, r2}\n"
                     "ldr r3, [r5, r2]\n"
                     "eors r3, r6\n" CHANNEL("24", "r11") CHANNEL("16", "r10")
                         CHANNEL("8", "r9") "muls r3, r1\n"
                                            "add r8, r3\n"
                                            "cmp r0, r12\n"
                                            "bne 2b\n"
                                            "mov r0, lr\n"
                                            "ldr r6, [r0, #16]\n"
                                            "mov r1, r8\n"
                                            "mov r2, r9\n"
                                            "mov r3, r10\n"
                                            "mov r4, r11\n"
                                            "stmia r6!, {r1, r2, r3, r4}\n"
                                            "str r6, [r0, #16]\n"
                                            "adds r5, #4\n"
                                            "ldr r1, [r0, #12]\n"
                                            "cmp r5, r1\n"
                                            "bne 1b\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
}

#else

TL_HOT static void mix_entries(struct mix *job) {
    for (const int8_t *values = job->values; values < job->values_end; values += 4, job->sums += 4) {
        for (const struct entry *entry = job->entries; entry < job->entries_end; entry++) {
            const uint8_t *codes = (const uint8_t *)values + entry->offset;
            const uint32_t word =
                (codes[0] | (uint32_t)codes[1] << 8 | (uint32_t)codes[2] << 16 | (uint32_t)codes[3] << 24) ^ job->bias;
            for (uint32_t i = 0; i < 4; i++) job->sums[i] += (word >> 8 * i) * entry->weight;
        }
    }
}

#endif

/* One head whose size is a multiple of four channels. */
TL_HOT static void mix_words(const struct tl_mix_job *job, const int32_t *weights, int32_t down, uint32_t *sums) {
    const uint32_t n = job->head_dim;
    const int32_t half = (1 << down) >> 1;
    struct entry entries[SLOTS_AT_ONCE];
    uint32_t total = 0;
    for (uint32_t i = 0; i < n; i++) sums[i] = 0;
    for (uint32_t t = 0, offset = 0; t < job->slots;) {
        struct entry *entry = entries;
        for (; t < job->slots && entry < entries + SLOTS_AT_ONCE; t++, offset += n) {
            const uint32_t weight = (uint32_t)(weights[t] + half) >> down;
            if (weight == 0) continue;
            total += weight;
            *entry++ = (struct entry){weight, offset};
        }
        struct mix mix = {entries, entry, job->values, job->values + n, sums, BIAS};
        if (entry > entries) mix_entries(&mix);
    }
    for (uint32_t i = 0; i < n; i += CHANNELS_AT_ONCE, sums += CHANNELS_AT_ONCE) {
        for (uint32_t c = 0; c < CHANNELS_AT_ONCE - 1u; c++) sums[c] -= (sums[c + 1u] << 8) + (total << 7);
        sums[CHANNELS_AT_ONCE - 1u] -= total << 7;
    }
}

TL_HOT static void mix_any(const struct tl_mix_job *job, const int32_t *weights, int32_t down, int32_t *sums) {
    const uint32_t n = job->head_dim;
    const int32_t half = (1 << down) >> 1;
    const int8_t *value = job->values;
    for (uint32_t i = 0; i < n; i++) sums[i] = 0;
    for (uint32_t t = 0; t < job->slots; t++, value += n) {
        const int32_t weight = (weights[t] + half) >> down;
        for (uint32_t i = 0; i < n && weight > 0; i++) sums[i] += weight * value[i];
    }
}

TL_HOT void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums) {
    const uint32_t n = job->head_dim;
    for (uint32_t h = 0; h < job->heads; h++, sums += n) {
        const int32_t *weights = job->weights + (size_t)h * job->stride;
        if (n % CHANNELS_AT_ONCE == 0) {
            mix_words(job, weights, job->down[h], (uint32_t *)sums);
        } else {
            mix_any(job, weights, job->down[h], sums);
        }
    }
}
