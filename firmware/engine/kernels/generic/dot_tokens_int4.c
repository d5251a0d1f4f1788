#include <stddef.h>

#include "kernels.h"

TL_HOT void tl_expand_tokens_int4(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs) {
    for (uint32_t t = 0; t < tokens; t++, codes += stride, inputs += TL_INT4_INPUT_BYTES(n)) {
        tl_expand_int4(codes, n, inputs);
    }
}

TL_HOT void tl_dot_tokens_int4(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first,
                               uint32_t last, int32_t *sums, uint32_t stride) {
    const size_t input_bytes = TL_INT4_INPUT_BYTES(w->columns);
    for (uint32_t t = 0; t < tokens; t++, inputs += input_bytes, sums += stride) {
        tl_dot_groups_int4(w, inputs, first, last, sums);
    }
}
