#include "kernels.h"

uint32_t tl_first_above(const int32_t *values, uint32_t n, int32_t bound) {
    uint32_t i = 0;
    for (const int32_t *x = values; n - i >= 8u; i += 8u, x += 8) {
        const int32_t a = x[0], b = x[1], c = x[2], d = x[3];
        if (a > bound || b > bound || c > bound || d > bound) break;
        const int32_t e = x[4], f = x[5], g = x[6], h = x[7];
        if (e > bound || f > bound || g > bound || h > bound) break;
    }
    while (i < n && values[i] <= bound) i++;
    return i;
}

#if defined(__GNUC__)
#define MOSTLY(condition) __builtin_expect(condition, 1)
#else
#define MOSTLY(condition) (condition)
#endif

uint32_t tl_copy_above(const int32_t *values, uint32_t n, int32_t bound, int32_t *copies, uint32_t room,
                       uint32_t *marks) {
    const int32_t *const end = values + n;
    uint32_t copied = 0;
    for (volatile uint32_t *mark = marks; mark != marks + (n + 31u) / 32u; mark++)
        *mark = 0; /* volatile, so that no compiler turns the loop into a call of memset */
    TL_UNROLL
    for (const int32_t *x = values; x != end; x++) {
        if (MOSTLY(*x <= bound)) continue;
        if (copied == room) return room + 1u;
        copies[copied++] = *x;
        marks[(uint32_t)(x - values) / 32u] |= UINT32_C(1) << ((uint32_t)(x - values) & 31u);
    }
    return copied;
}
