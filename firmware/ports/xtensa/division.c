/* The integer helpers that gcc calls on Xtensa LX106 and its libgcc lacks: the processor has no divider, and multiplies
 * 32 bits into 32. Their names and meanings are gcc's (GCC Internals, section 4.1.1). Dividing by zero is a fault, as on
 * an Xtensa with a divider. */
#include <stdint.h>

/* Declared here, for no header has them. */
uint64_t __muldi3(uint64_t a, uint64_t b);
uint32_t __udivsi3(uint32_t numerator, uint32_t divisor);
uint32_t __umodsi3(uint32_t numerator, uint32_t divisor);
int32_t __divsi3(int32_t numerator, int32_t divisor);
uint64_t __udivdi3(uint64_t numerator, uint64_t divisor);
uint64_t __umoddi3(uint64_t numerator, uint64_t divisor);
int64_t __divdi3(int64_t numerator, int64_t divisor);
int64_t __moddi3(int64_t numerator, int64_t divisor);

/* --- Multiplication --- */

/* 32 x 32 -> 64 from four products of halves. */
static uint64_t multiply_wide(uint32_t a, uint32_t b) {
    const uint32_t a_low = a & 0xFFFFu, a_high = a >> 16, b_low = b & 0xFFFFu, b_high = b >> 16;
    const uint32_t low = a_low * b_low, middle = a_high * b_low + (low >> 16);
    const uint32_t other = a_low * b_high + (middle & 0xFFFFu);
    const uint32_t high = a_high * b_high + (middle >> 16) + (other >> 16);
    return (uint64_t)high << 32 | (other << 16 | (low & 0xFFFFu));
}

/* Products of signed numbers have the same low 64 bits. */
uint64_t __muldi3(uint64_t a, uint64_t b) {
    const uint32_t a_low = (uint32_t)a, b_low = (uint32_t)b;
    const uint32_t cross = (uint32_t)(a >> 32) * b_low + a_low * (uint32_t)(b >> 32);
    return multiply_wide(a_low, b_low) + ((uint64_t)cross << 32);
}

/* --- Division, one bit of the quotient at a time --- */

static uint32_t divide(uint32_t numerator, uint32_t divisor, uint32_t *remainder) {
    uint32_t quotient = 0;
    if (divisor == 0) {
        __asm__ volatile("ill");
    }
    if (numerator >= divisor) {
        for (int shift = __builtin_clz(divisor) - __builtin_clz(numerator); shift >= 0; shift--) {
            quotient <<= 1;
            if (numerator >= divisor << shift) {
                numerator -= divisor << shift;
                quotient |= 1u;
            }
        }
    }
    *remainder = numerator;
    return quotient;
}

static uint64_t divide_wide(uint64_t numerator, uint64_t divisor, uint64_t *remainder) {
    uint64_t quotient = 0;
    if ((numerator | divisor) >> 32 == 0) {
        uint32_t rest;
        quotient = divide((uint32_t)numerator, (uint32_t)divisor, &rest);
        *remainder = rest;
        return quotient;
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
    uint32_t remainder;
    return divide(numerator, divisor, &remainder);
}

uint32_t __umodsi3(uint32_t numerator, uint32_t divisor) {
    uint32_t remainder;
    (void)divide(numerator, divisor, &remainder);
    return remainder;
}

/* Quotients round towards zero. Negation in unsigned arithmetic keeps the most negative number right. */
int32_t __divsi3(int32_t numerator, int32_t divisor) {
    const uint32_t n = numerator < 0 ? 0u - (uint32_t)numerator : (uint32_t)numerator;
    const uint32_t d = divisor < 0 ? 0u - (uint32_t)divisor : (uint32_t)divisor;
    const uint32_t quotient = __udivsi3(n, d);
    return (int32_t)((numerator ^ divisor) < 0 ? 0u - quotient : quotient);
}

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
