/* Emulates the instructions of lx6.h with those of the LX106: a high half of a product is put together from products of
 * halves, and a quotient is found bit by bit. */
#include "lx6.h"

enum { MULUH = 10, MULSH, QUOU, QUOS, REMU, REMS };

#define DIVISION_BY_ZERO 6u /* EXCCAUSE */

/* The high half of the product, from four products of halves. */
static uint32_t multiply_high(uint32_t a, uint32_t b) {
    const uint32_t a_low = a & 0xFFFFu, a_high = a >> 16, b_low = b & 0xFFFFu, b_high = b >> 16;
    const uint32_t low = a_low * b_low, middle = a_high * b_low + (low >> 16);
    const uint32_t other = a_low * b_high + (middle & 0xFFFFu);
    return a_high * b_high + (middle >> 16) + (other >> 16);
}

static uint32_t divide(uint32_t dividend, uint32_t divisor, uint32_t *remainder) {
    uint32_t quotient = 0;
    if (dividend >= divisor) {
        for (int shift = __builtin_clz(divisor) - __builtin_clz(dividend); shift >= 0; shift--) {
            quotient <<= 1;
            if (dividend >= divisor << shift) {
                dividend -= divisor << shift;
                quotient |= 1u;
            }
        }
    }
    *remainder = dividend;
    return quotient;
}

static uint32_t size_of(uint32_t value) {
    return value >> 31 ? 0u - value : value;
}

static uint32_t with_sign(uint32_t size, uint32_t sign) {
    return sign >> 31 ? 0u - size : size;
}

bool tl_lx6_execute(struct tl_trap *trap) {
    const uint8_t *code = (const uint8_t *)trap->pc;
    const uint32_t operation = code[2] >> 4, s = trap->a[code[1] & 15u], t = trap->a[code[0] >> 4];
    uint32_t result, remainder;
    if ((code[0] & 15u) != 0 || (code[2] & 15u) != 2 || operation < MULUH) {
        return false;
    }
    if (operation >= QUOU && t == 0) {
        trap->cause = DIVISION_BY_ZERO;
        return false;
    }
    switch (operation) {
    case MULUH:
        result = multiply_high(s, t);
        break;
    case MULSH:
        result = multiply_high(s, t) - (s >> 31 ? t : 0u) - (t >> 31 ? s : 0u);
        break;
    case QUOU:
        result = divide(s, t, &remainder);
        break;
    case QUOS:
        result = with_sign(divide(size_of(s), size_of(t), &remainder), s ^ t);
        break;
    case REMU:
        (void)divide(s, t, &result);
        break;
    default:
        (void)divide(size_of(s), size_of(t), &remainder);
        result = with_sign(remainder, s);
        break;
    }
    trap->a[code[1] >> 4] = result;
    trap->pc += 3u;
    return true;
}
