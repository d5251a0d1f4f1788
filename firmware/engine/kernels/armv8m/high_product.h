/* How a value is requantised by SMMULR, which rounds a product to nearest, ties up, by 32 bits: with the value shifted left
 * by `up` and the multiplier by as much as it has room, 32 - right in all, that is the result, and it fits. */
#ifndef TL_HIGH_PRODUCT_H
#define TL_HIGH_PRODUCT_H

#include <stdbool.h>

#include "fixedpoint.h"

struct tl_high_product {
    int32_t scaled; /* the multiplier, which a mantissa of 16 bits multiplies yet */
    int32_t up;     /* of a value within +-(INT32_MAX >> up) */
    bool fits;      /* else SMMULR cannot do it */
};

static inline struct tl_high_product tl_high_product(int32_t multiplier, int32_t right) {
    const int32_t room = 15 - tl_bit_length((uint32_t)multiplier);
    const int32_t by = tl_min(tl_max(room, 0), tl_max(32 - right, 0)), up = 32 - right - by;
    return (struct tl_high_product){multiplier * (1 << by), up, room >= 0 && up >= 0 && up < 31};
}

#endif
