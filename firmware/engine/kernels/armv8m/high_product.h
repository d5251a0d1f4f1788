/* Requantisation with SMMULR, which divides a product by 2^32 to nearest, ties up. The value is shifted left by `up`,
 * the multiplier as far as it has room, both together by 32 - right. SMMULR then gives the result, which fits int32. */
#ifndef TL_HIGH_PRODUCT_H
#define TL_HIGH_PRODUCT_H

#include <stdbool.h>

#include "fixedpoint.h"

struct tl_high_product {
    int32_t scaled; /* the shifted multiplier, still to be multiplied by a mantissa of 16 bits */
    int32_t up;     /* for values within +-(INT32_MAX >> up) */
    bool fits;      /* whether SMMULR can do it */
};

static inline struct tl_high_product tl_high_product(int32_t multiplier, int32_t right) {
    const int32_t room = 15 - tl_bit_length((uint32_t)multiplier);
    const int32_t by = tl_min(tl_max(room, 0), tl_max(32 - right, 0)), up = 32 - right - by;
    return (struct tl_high_product){multiplier * (1 << by), up, room >= 0 && up >= 0 && up < 31};
}

#endif
