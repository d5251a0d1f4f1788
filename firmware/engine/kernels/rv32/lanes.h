/* Two columns of an input times the codes of two rows, for a core whose products have 64 bits. */
#ifndef TL_LANES_H
#define TL_LANES_H

#include <stdint.h>

#define EACH_ROW_PAIR(of) of(0) of(1) of(2) of(3)

struct column_pair {
    int32_t even;
    int32_t odd; /* times 2^24: with codes times 2^8, the product is in the high word */
};

static inline struct column_pair pair_of(int32_t even, int32_t odd) {
    const struct column_pair pair = {even, odd * (1 << 24)};
    return pair;
}

static inline uint32_t lanes(uint32_t codes, struct column_pair x) {
    const uint32_t even = codes & 0x00FF00FFu, odd = codes - even;
    return even * (uint32_t)x.even + (uint32_t)(((int64_t)x.odd * (int64_t)odd) >> 32);
}

#endif
