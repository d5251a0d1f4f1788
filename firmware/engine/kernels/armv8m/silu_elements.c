#include "dsp.h"
#include "kernels.h"
#include "tables.h"

/* Elements that a round of the loop takes. */
#define AT_ONCE 4u

/* Whole fours of elements, if no shift is to the left. The magnitude of a gate is clamped to the end of the sigmoid's
 * table. One load gives two entries of the table. The larger of two numbers is found without a branch. */
TL_HOT static int32_t silu_fours(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down, int32_t up_down) {
    const int32_t *end = gate + n;
    int32_t largest = 0;
#if defined(TL_DSP)
    int32_t x, magnitude, entries, result;
    __asm__ volatile("1:\n"
                     ".rept 4\n"
                     "ldr %[x], [%[gate]]\n"
                     "eor %[magnitude], %[x], %[x], asr #31\n"
                     "sub %[magnitude], %[magnitude], %[x], asr #31\n"
                     "usat %[magnitude], #20, %[magnitude]\n"
                     "lsr %[entries], %[magnitude], #11\n"
                     "ldr %[entries], [%[table], %[entries], lsl #1]\n"
                     "ubfx %[magnitude], %[magnitude], #0, #11\n"
                     "uxth %[result], %[entries]\n"
                     "rsb %[entries], %[result], %[entries], lsr #16\n"
                     "mla %[entries], %[entries], %[magnitude], %[half_11]\n"
                     "add %[result], %[result], %[entries], asr #11\n"
                     "cmp %[x], #0\n"
                     "it lt\n"
                     "rsblt %[result], %[result], #32768\n"
                     "asr %[x], %[x], %[gate_down]\n"
                     "mla %[result], %[x], %[result], %[half_15]\n"
                     "ldr %[x], [%[up]], #4\n"
                     "asr %[x], %[x], %[up_down]\n"
                     "asr %[result], %[result], #15\n"
                     "mul %[result], %[result], %[x]\n"
                     "str %[result], [%[gate]], #4\n"
                     "eor %[magnitude], %[result], %[result], asr #31\n"
                     "sub %[magnitude], %[magnitude], %[result], asr #31\n"
                     "sub %[magnitude], %[magnitude], %[largest]\n"
                     "usat %[magnitude], #31, %[magnitude]\n"
                     "add %[largest], %[largest], %[magnitude]\n"
                     ".endr\n"
                     "cmp %[gate], %[end]\n"
                     "bne 1b\n"
                     : [gate] "+&r"(gate), [up] "+&r"(up), [largest] "+&r"(largest), [x] "=&r"(x),
                       [magnitude] "=&r"(magnitude), [entries] "=&r"(entries), [result] "=&r"(result)
                     : [end] "r"(end), [table] "r"(tl_sigmoid_table), [gate_down] "r"(gate_down),
                       [up_down] "r"(up_down), [half_11] "r"(1 << 10), [half_15] "r"(1 << 14)
                     : "cc", "memory");
#else
    for (; gate < end; gate++) {
        *gate = ((((*gate >> gate_down) * tl_sigmoid_q15(*gate)) + (1 << 14)) >> 15) * (*up++ >> up_down);
        largest = tl_max(largest, (int32_t)tl_magnitude(*gate));
    }
#endif
    return largest;
}

TL_HOT uint32_t tl_silu_elements(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down, int32_t up_down) {
    uint32_t i = 0;
    int32_t largest = 0;
    if (gate_down >= 0 && up_down >= 0 && n >= AT_ONCE) {
        i = n & ~(AT_ONCE - 1u);
        largest = silu_fours(gate, up, i, gate_down, up_down);
    }
    for (; i < n; i++) {
        const int32_t activated = (tl_shift(gate[i], gate_down) * tl_sigmoid_q15(gate[i]) + (1 << 14)) >> 15;
        gate[i] = activated * tl_shift(up[i], up_down);
        largest = tl_max(largest, (int32_t)tl_magnitude(gate[i]));
    }
    return (uint32_t)largest;
}
