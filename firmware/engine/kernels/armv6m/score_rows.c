/* The scores of two query heads from one multiplication for each code of a key.
 *
 * A lane word has the codes of both queries in one channel, first + 65536 second. The sum of code * lane word over two
 * channels of a key has in each half what is added to one head's dot product, signed: 2 * 127 * 127 < 2^15. `all` is
 * the total of these sums, `upper` that of their upper halves, to nearest; `all` minus 2^16 `upper` is the dot product
 * of the first head.
 */
#include <stddef.h>

#include "kernels.h"

#define CHANNELS_AT_ONCE 8u
#define MOST_CHANNELS 64u /* channels whose lane words fit on the stack */

/* Operands of the assembly, which relies on their offsets: the slots to score. */
struct score {
    const uint32_t *lanes, *lanes_end;
    const int8_t *keys;
    const uint16_t *key_scales;
    int32_t *scores, *scores_end; /* of the first head */
    uint32_t second;              /* bytes from the first head's scores to the second head's */
    int32_t dot_shift;
    int32_t biased_top;
    uint32_t r7; /* saved here, because the compiler may not give it up */
};

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

/* r0: four codes of a key. r3, r4: lane words. r5: keys. r6: lanes. r7: upper. r8: all. r9: scores of the first head.
 * r11: key_scales. r12: lanes_end. lr: struct score. adcs adds the bit that asrs shifted out last, which rounds. */
#define PAIR(first, second)                                                                                            \
    "ldmia r6!, {r3, r4}\n" first second "muls r1, r3\n"                                                               \
    "muls r2, r4\n"                                                                                                    \
    "adds r1, r1, r2\n"                                                                                                \
    "add r8, r1\n"                                                                                                     \
    "asrs r1, r1, #16\n"                                                                                               \
    "adcs r7, r1\n"
#define FOUR                                                                                                           \
    "ldmia r5!, {r0}\n" PAIR("sxtb r1, r0\n", "lsls r2, r0, #16\nasrs r2, r2, #24\n")                                  \
        PAIR("lsls r1, r0, #8\nasrs r1, r1, #24\n", "asrs r2, r0, #24\n")

TL_HOT static void score_two(struct score *job) {
    register struct score *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "str r7, [r0, #36]\n"
                     "mov lr, r0\n"
                     "ldr r1, [r0, #4]\n"
                     "mov r12, r1\n"
                     "ldr r5, [r0, #8]\n"
                     "ldr r1, [r0, #12]\n"
                     "mov r11, r1\n"
                     "ldr r1, [r0, #16]\n"
                     "mov r9, r1\n"
                     "mov r2, lr\n"
                     "1:\n" /* a slot */
                     "ldr r6, [r2, #0]\n"
                     "movs r7, #0\n"
                     "mov r8, r7\n"
                     "2:\n" /* eight channels */
                     FOUR FOUR "cmp r6, r12\n"
                     "bne 2b\n"
                     "mov r0, r8\n"
                     "lsls r1, r7, #16\n"
                     "subs r0, r0, r1\n"
                     "mov r2, lr\n"
                     "ldr r3, [r2, #28]\n"
                     "asrs r0, r3\n"
                     "asrs r7, r3\n"
                     "mov r4, r11\n"
                     "ldrh r1, [r4]\n"
                     "adds r4, #2\n"
                     "mov r11, r4\n"
                     "lsls r3, r1, #21\n" /* the mantissa */
                     "lsrs r3, r3, #21\n"
                     "lsrs r1, r1, #11\n"
                     "ldr r4, [r2, #32]\n"
                     "subs r4, r4, r1\n"
                     "muls r0, r3\n"
                     "muls r7, r3\n"
                     "asrs r0, r4\n"
                     "asrs r7, r4\n"
                     "mov r1, r9\n"
                     "ldr r3, [r2, #24]\n"
                     "str r7, [r1, r3]\n"
                     "stmia r1!, {r0}\n"
                     "mov r9, r1\n"
                     "ldr r0, [r2, #20]\n"
                     "cmp r0, r9\n"
                     "bne 1b\n"
                     "ldr r7, [r2, #36]\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r11", "r12", "lr", "cc", "memory");
}

#else

TL_HOT static void score_two(struct score *job) {
    const int8_t *key = job->keys;
    const uint16_t *scale = job->key_scales;
    for (int32_t *score = job->scores; score < job->scores_end; score++, scale++) {
        uint32_t all = 0;
        int32_t upper = 0;
        for (const uint32_t *lanes = job->lanes; lanes < job->lanes_end; lanes += 2, key += 2) {
            const uint32_t gained = (uint32_t)key[0] * lanes[0] + (uint32_t)key[1] * lanes[1];
            all += gained;
            upper += ((int32_t)gained >> 16) + (int32_t)(gained >> 15 & 1u);
        }
        const int32_t first = (int32_t)(all - ((uint32_t)upper << 16));
        const int32_t mantissa = *scale & 2047, down = job->biased_top - (*scale >> 11);
        score[0] = ((first >> job->dot_shift) * mantissa) >> down;
        score[job->second / sizeof *score] = ((upper >> job->dot_shift) * mantissa) >> down;
    }
}

#endif

TL_HOT static void score_one(const struct tl_score_job *job, uint32_t head, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    const int8_t *query = job->queries + (size_t)head * n, *key = job->keys + (size_t)first * n;
    int32_t *scores = job->scores + (size_t)head * job->stride;
    for (uint32_t t = first; t < last; t++) {
        const struct tl_scale scale = tl_unpack_scale(job->key_scales[t]);
        int32_t sum = 0;
        for (uint32_t i = 0; i < n; i++) sum += query[i] * *key++;
        scores[t] = ((sum >> job->dot_shift) * scale.mantissa) >> (job->top - scale.exponent);
    }
}

TL_HOT void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    if (first >= last) return;
    if (job->heads != 2u || n % CHANNELS_AT_ONCE != 0 || n > MOST_CHANNELS) {
        for (uint32_t h = 0; h < job->heads; h++) score_one(job, h, first, last);
        return;
    }
    uint32_t lanes[MOST_CHANNELS];
    for (uint32_t i = 0; i < n; i++) lanes[i] = (uint32_t)job->queries[i] + ((uint32_t)job->queries[n + i] << 16);
    struct score two = {lanes,
                        lanes + n,
                        job->keys + (size_t)first * n,
                        job->key_scales + first,
                        job->scores + first,
                        job->scores + last,
                        job->stride * (uint32_t)sizeof *job->scores,
                        job->dot_shift,
                        job->top + TL_SCALE_EXPONENT_BIAS,
                        0};
    score_two(&two);
}
