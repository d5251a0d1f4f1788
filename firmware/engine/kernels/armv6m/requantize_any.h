/* Requantises a value of any size by a multiplier of any size, on a Cortex-M0+. */
#ifndef TL_REQUANTIZE_ANY_H
#define TL_REQUANTIZE_ANY_H

#include "fixedpoint.h"
#include "placement.h"

#if defined(__GNUC__)
#define APART __attribute__((noinline)) /* not inlined, so that it takes no registers of the loops that call it */
#else
#define APART
#endif

APART static int32_t requantize_in_64_bits(int32_t value, int32_t multiplier, int32_t right) {
    return tl_requantize(value, multiplier, right);
}

/* Requantises any value: puts the product together from products of halves, in two words. Only a result of 31 bits or
 * more, or a shift to the left, takes 64-bit arithmetic. */
TL_HOT APART static int32_t requantize_any(int32_t value, int32_t multiplier, int32_t right) {
    const uint32_t value_low = (uint32_t)value & 0xFFFFu, low = (uint32_t)multiplier & 0xFFFFu;
    const int32_t value_high = value >> 16, high = multiplier >> 16;
    const uint32_t lowest = value_low * low;
    const int32_t middle = value_high * (int32_t)low + (int32_t)(lowest >> 16);
    const uint32_t other = value_low * (uint32_t)high + ((uint32_t)middle & 0xFFFFu); /* < 2^31 */
    const int32_t upper = value_high * high + (middle >> 16) + (int32_t)(other >> 16);
    const int32_t before = right - 1; /* the last bit is rounded */
    if (before >= 32) return ((upper >> tl_min(before - 32, 29)) + 1) >> 1;
    if (before < 1) return requantize_in_64_bits(value, multiplier, right);
    const uint32_t lower = other << 16 | (lowest & 0xFFFFu);
    const int32_t doubled = (int32_t)((uint32_t)upper << (32 - before) | lower >> before);
    if (upper >> before != doubled >> 31) return requantize_in_64_bits(value, multiplier, right);
    return (doubled >> 1) + (doubled & 1);
}

#endif
