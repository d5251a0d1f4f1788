/* The probabilities of four logits at a time. The constants of the loop are in high registers; a compiler would keep
 * them on the stack. */
#include "kernels.h"

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

/* r0: logits. r1: sum, its high word in r12. r5: multiplier. r7: left. r8: largest. r9: farthest. r10: tl_exp2_table.
 * r11: end. LOGIT adds the probability of one logit, as tl_logit_probability, and has two labels of its own. */
#define LOGIT(done, carried)                                                                                           \
    "ldmia r0!, {r2}\n"                                                                                                \
    "cmp r2, r9\n"                                                                                                     \
    "blt " done "f\n"                                                                                                  \
    "lsls r2, r7\n"                                                                                                    \
    "mov r3, r8\n"                                                                                                     \
    "subs r3, r3, r2\n" /* the distance times 2^6 */                                                                   \
    "lsrs r2, r3, #17\n"                                                                                               \
    "muls r2, r5\n"                                                                                                    \
    "lsls r3, r3, #15\n"                                                                                               \
    "lsrs r3, r3, #21\n"                                                                                               \
    "muls r3, r5\n"                                                                                                    \
    "lsrs r3, r3, #11\n"                                                                                               \
    "adds r3, r3, r2\n" /* the exponent times 2^11 */                                                                  \
    "lsrs r2, r3, #19\n"                                                                                               \
    "uxtb r2, r2\n"                                                                                                    \
    "lsls r2, r2, #3\n"                                                                                                \
    "add r2, r10\n"                                                                                                    \
    "lsls r4, r3, #13\n"                                                                                               \
    "lsrs r4, r4, #24\n"                                                                                               \
    "ldmia r2, {r2, r6}\n"                                                                                             \
    "muls r4, r6\n"                                                                                                    \
    "adds r4, #128\n"                                                                                                  \
    "lsrs r4, r4, #8\n"                                                                                                \
    "subs r2, r2, r4\n"                                                                                                \
    "lsrs r3, r3, #27\n"                                                                                               \
    "lsrs r2, r3\n"                                                                                                    \
    "adds r1, r1, r2\n"                                                                                                \
    "bcs " carried "f\n" done ":\n"

#define CARRY(carried, done) carried ":\nmov r2, r12\nadds r2, #1\nmov r12, r2\nb " done "b\n"

static uint64_t sum_fours(const int32_t *logits, const int32_t *end, const struct tl_exponents *exponents) {
    register const int32_t *r0 __asm__("r0") = logits;
    register uint32_t r1 __asm__("r1") = (uint32_t)end;
    register uint32_t r2 __asm__("r2") = (uint32_t)exponents;
    register const uint32_t *r3 __asm__("r3") = tl_exp2_table;
    __asm__ volatile(".syntax unified\n"
                     "push {r7}\n" /* which may be the frame pointer */
                     "mov r11, r1\n"
                     "mov r10, r3\n"
                     "ldmia r2!, {r3, r4, r5, r6}\n"
                     "mov r8, r3\n"
                     "mov r7, r4\n"
                     "mov r9, r6\n"
                     "movs r1, #0\n"
                     "mov r12, r1\n"
                     "1:\n" LOGIT("11", "21") LOGIT("12", "22") LOGIT("13", "23")
                         LOGIT("14", "24") "cmp r0, r11\n"
                                           "bne 1b\n"
                                           "mov r2, r12\n"
                                           "b 2f\n" CARRY("21", "11") CARRY("22", "12") CARRY("23", "13")
                                               CARRY("24", "14") "2:\n"
                                                                 "pop {r7}\n"
                     : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3)
                     :
                     : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "cc", "memory");
    return (uint64_t)r2 << 32 | r1;
}

#else

static uint64_t sum_fours(const int32_t *logits, const int32_t *end, const struct tl_exponents *exponents) {
    uint64_t sum = 0;
    while (logits != end) sum += tl_logit_probability(*logits++, exponents);
    return sum;
}

#endif

void tl_sum_probabilities(const int32_t *logits, uint32_t n, const struct tl_exponents *exponents, uint64_t *sum) {
    const uint32_t fours = n & ~3u;
    *sum = fours > 0 ? sum_fours(logits, logits + fours, exponents) : 0;
    for (uint32_t i = fours; i < n; i++) *sum += tl_logit_probability(logits[i], exponents);
}
