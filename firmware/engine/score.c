#include "score.h"

/* A double: sign, 11 bits of exponent, 52 bits of fraction. A float: sign, 8 bits, 23 bits. */
#define SIGN (1ull << 63)
#define FRACTION_BITS 52
#define GUARD_BITS 3 /* below the fraction; the lowest is set if any bit was shifted out */
#define DROPPED_BITS (52 - 23)
#define BIAS_STEP (1023 - 127)

static uint64_t fraction_of(uint64_t value) {
    return (value & ((1ull << FRACTION_BITS) - 1u)) | 1ull << FRACTION_BITS;
}

/* fraction >> n, with the lowest bit set if anything was lost. */
static uint64_t shift_right(uint64_t fraction, uint32_t n) {
    if (n > 62u) {
        return fraction != 0;
    }
    return fraction >> n | ((fraction & ((1ull << n) - 1u)) != 0);
}

/* fraction / 2^n, to nearest, ties to even. */
static uint64_t round_shift(uint64_t fraction, uint32_t n) {
    const uint64_t half = 1ull << (n - 1u), rest = fraction & ((1ull << n) - 1u);
    const uint64_t whole = fraction >> n;
    return whole + (rest > half || (rest == half && (whole & 1u) != 0));
}

uint64_t tl_score_add(uint64_t a, uint64_t b) {
    if ((a & ~SIGN) < (b & ~SIGN)) { /* the larger one first */
        const uint64_t other = a;
        a = b;
        b = other;
    }
    if ((b & ~SIGN) == 0) {
        return (a & ~SIGN) == 0 ? 0 : a;
    }
    uint32_t exponent = (uint32_t)(a >> FRACTION_BITS) & 0x7FFu;
    const uint32_t gap = exponent - ((uint32_t)(b >> FRACTION_BITS) & 0x7FFu);
    uint64_t sum = fraction_of(a) << GUARD_BITS;
    const uint64_t smaller = shift_right(fraction_of(b) << GUARD_BITS, gap);
    sum = ((a ^ b) & SIGN) != 0 ? sum - smaller : sum + smaller;
    if (sum == 0) {
        return 0;
    }
    if (sum >> (FRACTION_BITS + GUARD_BITS + 1) != 0) {
        sum = shift_right(sum, 1);
        exponent++;
    }
    while (sum >> (FRACTION_BITS + GUARD_BITS) == 0) {
        sum <<= 1;
        exponent--;
    }
    /* If rounding carries out of the fraction, the sum carries into the exponent, which is right. */
    return (a & SIGN) | (((uint64_t)(exponent - 1u) << FRACTION_BITS) + round_shift(sum, GUARD_BITS));
}

bool tl_score_above(uint64_t a, uint64_t b) {
    const uint64_t size_a = a & ~SIGN, size_b = b & ~SIGN;
    const bool negative_a = a >= SIGN && size_a != 0, negative_b = b >= SIGN && size_b != 0;
    if (negative_a != negative_b) {
        return negative_b;
    }
    return negative_a ? size_a < size_b : size_a > size_b;
}

uint64_t tl_score_widen(uint32_t single) {
    const uint64_t sign = (uint64_t)(single >> 31) << 63, size = single & 0x7FFFFFFFu;
    return size == 0 ? sign : sign | ((size << DROPPED_BITS) + ((uint64_t)BIAS_STEP << FRACTION_BITS));
}

uint32_t tl_score_narrow(uint64_t wide) {
    const uint32_t sign = (uint32_t)(wide >> 63) << 31;
    const uint64_t size = wide & ~SIGN;
    return size == 0 ? sign : sign | (uint32_t)round_shift(size - ((uint64_t)BIAS_STEP << FRACTION_BITS), DROPPED_BITS);
}
