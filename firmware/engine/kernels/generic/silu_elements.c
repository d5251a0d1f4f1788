#include "kernels.h"

TL_HOT uint32_t tl_silu_elements(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down, int32_t up_down) {
    uint32_t largest = 0;
    for (int32_t *end = gate + n; gate < end; gate++, up++) {
        const int32_t activated = (tl_shift(*gate, gate_down) * tl_sigmoid_q15(*gate) + (1 << 14)) >> 15;
        *gate = activated * tl_shift(*up, up_down);
        const uint32_t magnitude = tl_magnitude(*gate);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}
