/* The pointers are in low registers; a compiler finds none for them. */
#include "kernels.h"

void tl_count_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts) {
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t range = (from - (uint32_t)values[i]) >> shift;
        if (range < TL_DISTANCES) counts[range]++;
    }
}

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

#define OR_LARGER "cmp r3, r4\nbge 2f\nmovs r3, r4\n2:\n"

/* r0: values. r1: 4 n. r3: the largest of four. r5: counts. r6: shift. r7: 4 n - 4. r8: from. r9: end. */
void tl_count_least_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts) {
    const int32_t *const end = values + n;
    register const int32_t *r0 __asm__("r0") = values;
    register uint32_t r1 __asm__("r1") = 4u * n;
    register uint32_t r2 __asm__("r2") = from;
    register const int32_t *r3 __asm__("r3") = end;
    register uint32_t *r5 __asm__("r5") = counts;
    register uint32_t r6 __asm__("r6") = shift;
    if (n == 0) return;
    __asm__ volatile(".syntax unified\n"
                     "push {r7}\n" /* which may be the frame pointer */
                     "mov r8, r2\n"
                     "mov r9, r3\n"
                     "subs r7, r1, #4\n"
                     "1:\n"
                     "ldmia r0!, {r3}\n"
                     "adds r2, r0, r7\n"
                     "ldr r4, [r2]\n" OR_LARGER "adds r2, r2, r1\n"
                     "ldr r4, [r2]\n" OR_LARGER "ldr r4, [r2, r1]\n" OR_LARGER "mov r4, r8\n"
                     "subs r3, r4, r3\n"
                     "lsrs r3, r6\n"
                     "cmp r3, #127\n" /* TL_DISTANCES - 1 */
                     "bhi 3f\n"
                     "lsls r3, r3, #2\n"
                     "ldr r4, [r5, r3]\n"
                     "adds r4, #1\n"
                     "str r4, [r5, r3]\n"
                     "3:\n"
                     "cmp r0, r9\n"
                     "bne 1b\n"
                     "pop {r7}\n"
                     : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3), "+r"(r5), "+r"(r6)
                     :
                     : "r4", "r8", "r9", "cc", "memory");
}

#else

void tl_count_least_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts) {
    for (uint32_t i = 0; i < n; i++) {
        int32_t largest = values[i];
        for (uint32_t j = 1; j < 4; j++) largest = tl_max(largest, values[i + j * n]);
        tl_count_distances(&largest, 1, from, shift, counts);
    }
}

#endif
