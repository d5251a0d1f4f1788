/* Four slots at a time, in all registers. A compiler would keep the constants of the loop on the stack. */
#include "dsp.h"
#include "softmax.h"

#define AT_ONCE 4u

#if defined(TL_DSP)

/* r1: farthest. r2: mantissa. r3: cut. r5: rounding. r6: highest. r7: top. r8: table. r9: v_scales. r10: total. r11:
 * largest. r12: scores. The stack has the scores' end, the job, and r7, which may be the frame pointer. */
#define SLOT(far, done)                                                                                                \
    "ldr r0, [r12]\n"                                                                                                  \
    "sub r0, r6, r0\n"                                                                                                 \
    "cmp r0, r1\n"                                                                                                     \
    "bhi.w " far "f\n"                                                                                                 \
    "lsr r0, r0, r3\n"                                                                                                 \
    "mla r0, r0, r2, r5\n"                                                                                             \
    "ubfx r4, r0, #17, #9\n"                                                                                           \
    "ldrh r4, [r8, r4, lsl #1]\n"                                                                                      \
    "lsr r0, r0, #26\n"                                                                                                \
    "lsrs r0, r4, r0\n"                                                                                                \
    "ldrh r4, [r9], #2\n"                                                                                              \
    "adc r0, r0, #0\n"                                                                                                 \
    "add r10, r10, r0\n"                                                                                               \
    "ubfx lr, r4, #0, #11\n"                                                                                           \
    "mul r0, r0, lr\n"                                                                                                 \
    "sub r4, r7, r4, lsr #11\n"                                                                                        \
    "lsr r0, r0, r4\n"                                                                                                 \
    "cmp r0, r11\n"                                                                                                    \
    "it gt\n"                                                                                                          \
    "movgt r11, r0\n" done ":\n"                                                                                       \
    "str r0, [r12], #4\n"
#define FAR(far, done) far ":\nmovs r0, #0\nadd r9, #2\nb " done "b\n"

TL_HOT static void weigh_fours(struct tl_weighing *job) {
    register struct tl_weighing *r0 __asm__("r0") = job;
    __asm__ volatile("push {r0, r7}\n"
                     "ldmia r0, {r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n"
                     "push {lr}\n"
                     "1:\n" SLOT("11", "21") SLOT("12", "22") SLOT("13", "23")
                         SLOT("14", "24") "ldr r0, [sp]\n"
                                          "cmp r0, r12\n"
                                          "bne.w 1b\n"
                                          "b 2f\n" FAR("11", "21") FAR("12", "22") FAR("13", "23")
                                              FAR("14", "24") "2:\n"
                                                              "pop {r4}\n"
                                                              "pop {r0, r7}\n"
                                                              "add r0, #32\n"
                                                              "stmia r0, {r9, r10, r11, r12}\n"
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
