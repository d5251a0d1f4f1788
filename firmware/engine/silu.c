#include "silu.h"

#include "parallel.h"
#include "vectors.h"

/* About what an element costs, in multiplications of a matrix. */
#define MACS 16u

/* A product under way, static so that both cores see it. */
struct product {
    int32_t *gate;
    const int32_t *up;
    int32_t gate_down, up_down;
};
static struct product product;

static void silu_mul_part(const void *job, uint32_t first, uint32_t last, uint32_t core) {
    const struct product p = *(const struct product *)job;
    (void)core;
    for (uint32_t i = first; i < last; i++) {
        const int32_t gate = p.gate[i];
        const int32_t activated = (tl_shift(gate, p.gate_down) * tl_sigmoid_q15(gate) + (1 << 14)) >> 15;
        p.gate[i] = activated * tl_shift(p.up[i], p.up_down);
    }
}

int32_t tl_silu_mul(int32_t *gate, const int32_t *up, uint32_t n) {
    product =
        (struct product){gate, up, tl_bit_length(tl_largest(gate, n)) - 15, tl_bit_length(tl_largest(up, n)) - 15};
    tl_parallel(silu_mul_part, &product, n, n * MACS);
    return product.gate_down + product.up_down - TL_FRACTION_BITS;
}
