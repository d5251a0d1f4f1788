#include "silu.h"

#include "kernels.h"
#include "parallel.h"
#include "vectors.h"

/* The approximate cost of an element in each of the two passes, in multiplications of a matmul. */
#define MEASURE_MACS 8u
#define MULTIPLY_MACS 16u

/* The product under way, static so that both cores see it. */
struct product {
    int32_t *gate;
    const int32_t *up;
    int32_t gate_bits[TL_CORES], up_bits[TL_CORES]; /* bits of the largest magnitude of each core's elements */
    int32_t gate_down, up_down;
    uint32_t largest[TL_CORES]; /* the largest magnitude of each core's products */
};
static struct product product;

TL_HOT static void silu_measure_part(const void *job, uint32_t first, uint32_t last, uint32_t core) {
    (void)job;
    product.gate_bits[core] = tl_magnitude_bits(product.gate + first, last - first);
    product.up_bits[core] = tl_magnitude_bits(product.up + first, last - first);
}

TL_HOT static void silu_mul_part(const void *job, uint32_t first, uint32_t last, uint32_t core) {
    const struct product *p = (const struct product *)job;
    product.largest[core] = tl_silu_elements(p->gate + first, p->up + first, last - first, p->gate_down, p->up_down);
}

TL_HOT int32_t tl_silu_mul(int32_t *gate, const int32_t *up, uint32_t n, uint32_t *largest) {
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
