/* Four columns of an input times the codes of two rows, for a core whose products have 32 bits. */
#ifndef TL_LANES_INT4_H
#define TL_LANES_INT4_H

#include <stdint.h>

struct column_quad {
    int16_t x0, x1, x2, x3;
};

static inline struct column_quad quad_of(const int8_t *x) {
    const struct column_quad quad = {x[0], x[1], x[2], x[3]};
    return quad;
}

static inline uint32_t lanes_of_4(uint32_t codes, struct column_quad x) {
    const int32_t x0 = x.x0, x1 = x.x1, x2 = x.x2, x3 = x.x3;
    return (codes & 0x000F000Fu) * (uint32_t)x0 + (codes >> 4 & 0x000F000Fu) * (uint32_t)x1 +
           (codes >> 8 & 0x000F000Fu) * (uint32_t)x2 + (codes >> 12 & 0x000F000Fu) * (uint32_t)x3;
}

#endif
