/* Two columns of an input times the codes of two rows, for a core whose products have 32 bits. */
#ifndef TL_LANES_H
#define TL_LANES_H

#include <stdint.h>

#define EACH_ROW_PAIR(of) of(0) of(1)

struct column_pair {
    int16_t even;
    int16_t odd;
};

static inline struct column_pair pair_of(int32_t even, int32_t odd) {
    const struct column_pair pair = {(int16_t)even, (int16_t)odd};
    return pair;
}

static inline uint32_t lanes(uint32_t codes, struct column_pair x) {
    const int32_t even = x.even, odd = x.odd;
    return (codes & 0x00FF00FFu) * (uint32_t)even + (codes >> 8 & 0x00FF00FFu) * (uint32_t)odd;
}

#endif
