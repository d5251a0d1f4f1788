/* Four slots at a time, in all registers. A compiler would keep the constants of the loop on the stack. */
#include "softmax.h"

#define AT_ONCE 4u

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

/* r0: scores. r1: v_scales. r4: mantissa. r5: table. r7: top. r8: highest. r9: cut. r10: farthest. r11: rounding. r12:
 * total. lr: largest. The stack has the scores' end, the job, and r7, which may be the frame pointer. adcs adds the bit
 * that lsrs shifted out last, which rounds. */
#define SLOT(at, far, smaller, done)                                                                                   \
    "ldr r3, [r0]\n"                                                                                                   \
    "mov r2, r8\n"                                                                                                     \
    "subs r2, r2, r3\n"                                                                                                \
    "cmp r2, r10\n"                                                                                                    \
    "bhi " far "f\n"                                                                                                   \
    "mov r3, r9\n"                                                                                                     \
    "lsrs r2, r3\n"                                                                                                    \
    "muls r2, r4\n"                                                                                                    \
    "add r2, r11\n"                                                                                                    \
    "lsrs r3, r2, #26\n"                                                                                               \
    "lsls r2, r2, #6\n"                                                                                                \
    "lsrs r2, r2, #23\n"                                                                                               \
    "lsls r2, r2, #1\n"                                                                                                \
    "ldrh r2, [r5, r2]\n"                                                                                              \
    "lsrs r2, r3\n"                                                                                                    \
    "ldrh r3, [r1, #" at "]\n"                                                                                         \
    "movs r6, #0\n"                                                                                                    \
    "adcs r2, r6\n"                                                                                                    \
    "add r12, r2\n"                                                                                                    \
    "lsls r6, r3, #21\n"                                                                                               \
    "lsrs r6, r6, #21\n"                                                                                               \
    "muls r2, r6\n"                                                                                                    \
    "lsrs r3, r3, #11\n"                                                                                               \
    "subs r3, r7, r3\n"                                                                                                \
    "lsrs r2, r3\n"                                                                                                    \
    "cmp r2, lr\n"                                                                                                     \
    "ble " smaller "f\n"                                                                                               \
    "mov lr, r2\n" smaller ":\n" done ":\n"                                                                            \
    "stmia r0!, {r2}\n"
#define FAR(far, done) far ":\nmovs r2, #0\nb " done "b\n"

TL_HOT static void weigh_fours(struct tl_weighing *job) {
    register struct tl_weighing *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "push {r0, r7}\n"
                     "ldmia r0!, {r1, r2, r3, r4, r5, r6, r7}\n"
                     "mov r10, r1\n"
                     "mov r9, r3\n"
                     "mov r11, r5\n"
                     "mov r8, r6\n"
                     "mov r4, r2\n"
                     "ldmia r0!, {r1, r2, r3, r5}\n"
                     "mov r12, r3\n"
                     "mov lr, r5\n"
                     "mov r5, r1\n"
                     "mov r1, r2\n"
                     "ldmia r0!, {r2, r3}\n"
                     "push {r3}\n"
                     "mov r0, r2\n"
                     "1:\n" SLOT("0", "11", "31", "21") SLOT("2", "12", "32", "22") SLOT("4", "13", "33", "23")
                         SLOT("6", "14", "34", "24") "adds r1, #8\n"
                                                     "ldr r2, [sp]\n"
                                                     "cmp r0, r2\n"
                                                     "bne 1b\n"
                                                     "b 2f\n" FAR("11", "21") FAR("12", "22") FAR("13", "23")
                                                         FAR("14", "24") "2:\n"
                                                                         "mov r2, r0\n"
                                                                         "pop {r3}\n"
                                                                         "pop {r0, r7}\n"
                                                                         "adds r0, #32\n"
                                                                         "mov r4, r12\n"
                                                                         "mov r5, lr\n"
                                                                         "stmia r0!, {r1, r4, r5}\n"
                                                                         "str r2, [r0]\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
}

#else

static void weigh_fours(struct tl_weighing *job) {
    tl_weigh_slots(job);
}

#endif

TL_HOT struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales,
                                            int32_t top, uint32_t slots, int32_t bits) {
    int32_t highest = scores[0];
    TL_UNROLL
    for (uint32_t t = 1; t < slots; t++) highest = tl_max(highest, scores[t]);

    struct tl_weighing job = tl_weighing_of(tl_octaves_of(scale), highest, v_scales, top, scores, slots);
    if (job.octaves.down == 0 && slots >= AT_ONCE) {
        job.end = scores + (slots & ~(AT_ONCE - 1u));
        weigh_fours(&job);
        job.end = scores + slots;
    }
    tl_weigh_slots(&job);
    return tl_softmax_of(job.total, job.largest, top, bits);
}
