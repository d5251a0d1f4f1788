/* Four columns of an input times the codes of two rows, for a core whose products have 64 bits. */
#ifndef TL_LANES_INT4_H
#define TL_LANES_INT4_H

#include <stdint.h>

struct column_quad {
    int32_t x0, x1;
    int32_t x2, x3; /* times 2^24: with codes times 2^8, the product is in the high word */
};

static inline struct column_quad quad_of(const int8_t *x) {
    const struct column_quad quad = {x[0], x[1], x[2] * (1 << 24), x[3] * (1 << 24)};
    return quad;
}

static inline uint32_t high_lanes(uint32_t codes, int32_t x) {
    return (uint32_t)(((int64_t)(int32_t)codes * x) >> 32);
}

static inline uint32_t lanes_of_4(uint32_t codes, struct column_quad x) {
    const uint32_t others = codes >> 4;
    return (codes & 0x000F000Fu) * (uint32_t)x.x0 + (others & 0x000F000Fu) * (uint32_t)x.x1 +
           high_lanes(codes & 0x0F000F00u, x.x2) + high_lanes(others & 0x0F000F00u, x.x3);
}

#endif
