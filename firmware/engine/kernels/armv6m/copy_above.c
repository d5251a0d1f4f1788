/* Loads four values at once. A compiler would load them one by one, and keep the pointers on the stack. */
#include "kernels.h"

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

uint32_t tl_first_above(const int32_t *values, uint32_t n, int32_t bound) {
    const int32_t *const fours = values + (n & ~3u), *const end = values + n;
    register const int32_t *r0 __asm__("r0") = values;
    register int32_t r1 __asm__("r1") = bound;
    register const int32_t *r2 __asm__("r2") = fours;
    __asm__ volatile(".syntax unified\n"
                     "mov r12, r2\n"
                     "1:\n"
                     "cmp r0, r12\n"
                     "beq 3f\n"
                     "ldmia r0!, {r2, r3, r4, r5}\n"
                     "cmp r2, r1\n"
                     "bgt 2f\n"
                     "cmp r3, r1\n"
                     "bgt 2f\n"
                     "cmp r4, r1\n"
                     "bgt 2f\n"
                     "cmp r5, r1\n"
                     "ble 1b\n"
                     "2:\n"
                     "subs r0, #16\n"
                     "3:\n"
                     : "+r"(r0), "+r"(r1), "+r"(r2)
                     :
                     : "r3", "r4", "r5", "r12", "cc", "memory");
    const int32_t *x = r0;
    while (x != end && *x <= bound) x++;
    return (uint32_t)(x - values);
}

/* Copies a value that is above the bound, and sets its bit. */
#define FOUND(label, value, shift, back)                                                                               \
    label ":\n"                                                                                                        \
          "stmia r1!, {" value "}\n"                                                                                   \
          "lsls " value ", r6, #" shift "\n"                                                                           \
          "add r9, " value "\n"                                                                                        \
          "b " back "b\n"

/* Copies the values (32,) that are above the bound, and sets their bits. Returns where the next copy goes. */
static int32_t *copy_32(const int32_t *values, int32_t bound, int32_t *copies, uint32_t *mark) {
    register const int32_t *r0 __asm__("r0") = values;
    register int32_t *r1 __asm__("r1") = copies;
    register int32_t r2 __asm__("r2") = bound;
    __asm__ volatile(".syntax unified\n"
                     "mov r8, r2\n"
                     "movs r6, #0\n"
                     "mov r9, r6\n"
                     "movs r6, #1\n"
                     "1:\n"
                     "ldmia r0!, {r2, r3, r4, r5}\n"
                     "cmp r2, r8\n"
                     "bgt 21f\n"
                     "11:\n"
                     "cmp r3, r8\n"
                     "bgt 22f\n"
                     "12:\n"
                     "cmp r4, r8\n"
                     "bgt 23f\n"
                     "13:\n"
                     "cmp r5, r8\n"
                     "bgt 24f\n"
                     "14:\n"
                     "lsls r6, r6, #4\n"
                     "bne 1b\n"
                     "mov r2, r9\n"
                     "b 2f\n" FOUND("21", "r2", "0", "11") FOUND("22", "r3", "1", "12") FOUND("23", "r4", "2", "13")
                         FOUND("24", "r5", "3", "14") "2:\n"
                     : "+r"(r0), "+r"(r1), "+r"(r2)
                     :
                     : "r3", "r4", "r5", "r6", "r8", "r9", "cc", "memory");
    *mark = (uint32_t)r2;
    return r1;
}

#else

uint32_t tl_first_above(const int32_t *values, uint32_t n, int32_t bound) {
    uint32_t i = 0;
    while (i < n && values[i] <= bound) i++;
    return i;
}

static int32_t *copy_32(const int32_t *values, int32_t bound, int32_t *copies, uint32_t *mark) {
    *mark = 0;
    for (uint32_t i = 0; i < 32; i++) {
        if (values[i] > bound) {
            *copies++ = values[i];
            *mark |= UINT32_C(1) << i;
        }
    }
    return copies;
}

#endif

uint32_t tl_copy_above(const int32_t *values, uint32_t n, int32_t bound, int32_t *copies, uint32_t room,
                       uint32_t *marks) {
    int32_t *copy = copies;
    for (; n > 0; values += 32, marks++) {
        if ((uint32_t)(copy - copies) + 32u > room) return room + 1u;
        if (n < 32u) {
            *marks = 0;
            for (uint32_t i = 0; i < n; i++) {
                if (values[i] > bound) {
                    *copy++ = values[i];
                    *marks |= UINT32_C(1) << i;
                }
            }
            break;
        }
        copy = copy_32(values, bound, copy, marks);
        n -= 32u;
    }
    return (uint32_t)(copy - copies);
}
