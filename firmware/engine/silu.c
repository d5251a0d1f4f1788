#include "silu.h"

#include "parallel.h"
#include "tables.h"
#include "vectors.h"

static inline int32_t sigmoid_q15(int32_t x) {
    const int32_t sign = -(x < 0), magnitude = tl_min((x ^ sign) - sign, (16 << 16) - 1);
    const uint16_t *here = tl_sigmoid_table + (magnitude >> 11);
    const int32_t positive = here[0] + (((here[1] - here[0]) * (magnitude & 2047) + 1024) >> 11);
    return (positive ^ sign) + (32769 & sign); /* 32768 - positive for a negative x */
}

int32_t tl_sigmoid_q15(int32_t x) {
    return sigmoid_q15(x);
}

/* About what an element costs in a pass, in multiplications of a matrix. */
#define MEASURE_MACS 8u
#define MULTIPLY_MACS 16u

/* A product under way, static so that both cores see it. */
struct product {
    int32_t *gate;
    const int32_t *up;
    int32_t gate_bits[TL_CORES], up_bits[TL_CORES]; /* of each core's largest */
    int32_t gate_down, up_down;
    uint32_t largest[TL_CORES]; /* magnitude of each core's products */
};
static struct product product;

static void silu_measure_part(const void *job, uint32_t first, uint32_t last, uint32_t core) {
    (void)job;
    product.gate_bits[core] = tl_magnitude_bits(product.gate + first, last - first);
    product.up_bits[core] = tl_magnitude_bits(product.up + first, last - first);
}

static void silu_mul_part(const void *job, uint32_t first, uint32_t last, uint32_t core) {
    const struct product *p = (const struct product *)job;
    const int32_t gate_down = p->gate_down, up_down = p->up_down;
    const int32_t *up = p->up + first;
    uint32_t largest = 0;
    for (int32_t *gate = p->gate + first, *end = p->gate + last; gate < end; gate++, up++) {
        const int32_t activated = (tl_shift(*gate, gate_down) * sigmoid_q15(*gate) + (1 << 14)) >> 15;
        *gate = activated * tl_shift(*up, up_down);
        const uint32_t magnitude = tl_magnitude(*gate);
        largest = magnitude > largest ? magnitude : largest;
    }
    product.largest[core] = largest;
}

int32_t tl_silu_mul(int32_t *gate, const int32_t *up, uint32_t n, uint32_t *largest) {
    int32_t gate_bits = 0, up_bits = 0;
    product = (struct product){gate, up, {0}, {0}, 0, 0, {0}};
    tl_parallel(silu_measure_part, &product, n, n * MEASURE_MACS);
    for (uint32_t core = 0; core < TL_CORES; core++) {
        gate_bits = tl_max(gate_bits, product.gate_bits[core]);
        up_bits = tl_max(up_bits, product.up_bits[core]);
    }
    product.gate_down = gate_bits - 15;
    product.up_down = up_bits - 15;
    tl_parallel(silu_mul_part, &product, n, n * MULTIPLY_MACS);
    *largest = 0;
    for (uint32_t core = 0; core < TL_CORES; core++) {
        if (product.largest[core] > *largest) *largest = product.largest[core];
    }
    return product.gate_down + product.up_down - TL_FRACTION_BITS;
}
