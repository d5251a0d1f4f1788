/* The integer helpers that gcc calls on an Xtensa LX106 but its libgcc lacks. The LX106 has no divider and no product
 * of more than 32 bits. The real chips have both, so the board emulates them (lx6.h). Names and meanings of the helpers
 * are gcc's (GCC Internals, section 4.1.1). Dividing by zero is a fault. */
#include <stdint.h>

#include "lx6.h"

/* Declared here, because no header has them. */
uint64_t __muldi3(uint64_t a, uint64_t b);
uint32_t __udivsi3(uint32_t numerator, uint32_t divisor);
uint32_t __umodsi3(uint32_t numerator, uint32_t divisor);
int32_t __divsi3(int32_t numerator, int32_t divisor);
int32_t __modsi3(int32_t numerator, int32_t divisor);
uint64_t __udivdi3(uint64_t numerator, uint64_t divisor);
uint64_t __umoddi3(uint64_t numerator, uint64_t divisor);
int64_t __divdi3(int64_t numerator, int64_t divisor);
int64_t __moddi3(int64_t numerator, int64_t divisor);

/* --- Multiplication --- */

/* The low 64 bits of a product are the same for signed numbers. */
uint64_t __muldi3(uint64_t a, uint64_t b) {
    const uint32_t a_low = (uint32_t)a, b_low = (uint32_t)b;
    const uint32_t cross = (uint32_t)(a >> 32) * b_low + a_low * (uint32_t)(b >> 32);
    const uint32_t low = a_low * b_low;
    return (uint64_t)(tl_muluh(a_low, b_low) + cross) << 32 | low;
}

/* --- Division, one bit of the quotient at a time --- */

static uint64_t divide_wide(uint64_t numerator, uint64_t divisor, uint64_t *remainder) {
    uint64_t quotient = 0;
    if ((numerator | divisor) >> 32 == 0) {
        *remainder = tl_remu((uint32_t)numerator, (uint32_t)divisor);
        return tl_quou((uint32_t)numerator, (uint32_t)divisor);
    }
    if (divisor == 0) {
        __asm__ volatile("ill");
    }
    if (numerator >= divisor) {
        const int shift = __builtin_clzll(divisor) - __builtin_clzll(numerator);
        divisor <<= shift;
        for (int bit = 0; bit <= shift; bit++) {
            quotient <<= 1;
            if (numerator >= divisor) {
                numerator -= divisor;
                quotient |= 1u;
            }
            divisor >>= 1;
        }
    }
    *remainder = numerator;
    return quotient;
}

uint32_t __udivsi3(uint32_t numerator, uint32_t divisor) {
    return tl_quou(numerator, divisor);
}

uint32_t __umodsi3(uint32_t numerator, uint32_t divisor) {
    return tl_remu(numerator, divisor);
}

int32_t __divsi3(int32_t numerator, int32_t divisor) {
    return tl_quos(numerator, divisor);
}

int32_t __modsi3(int32_t numerator, int32_t divisor) {
    return tl_rems(numerator, divisor);
}

/* Below, negation is in unsigned arithmetic, which is right for the most negative number too. */
uint64_t __udivdi3(uint64_t numerator, uint64_t divisor) {
    uint64_t remainder;
    return divide_wide(numerator, divisor, &remainder);
}

uint64_t __umoddi3(uint64_t numerator, uint64_t divisor) {
    uint64_t remainder;
    (void)divide_wide(numerator, divisor, &remainder);
    return remainder;
}

int64_t __divdi3(int64_t numerator, int64_t divisor) {
    const uint64_t n = numerator < 0 ? 0u - (uint64_t)numerator : (uint64_t)numerator;
    const uint64_t d = divisor < 0 ? 0u - (uint64_t)divisor : (uint64_t)divisor;
    const uint64_t quotient = __udivdi3(n, d);
    return (int64_t)((numerator ^ divisor) < 0 ? 0u - quotient : quotient);
}

/* A remainder has the sign of the numerator. */
int64_t __moddi3(int64_t numerator, int64_t divisor) {
    const uint64_t n = numerator < 0 ? 0u - (uint64_t)numerator : (uint64_t)numerator;
    const uint64_t d = divisor < 0 ? 0u - (uint64_t)divisor : (uint64_t)divisor;
    const uint64_t remainder = __umoddi3(n, d);
    return (int64_t)(numerator < 0 ? 0u - remainder : remainder);
}
