/* The functions of kernels.h that take or give structures, for a caller that passes words alone. */
#include "kernels.h"

void softmax_weights(int32_t *scores, const struct tl_scale *scale, const uint16_t *v_scales, int32_t top,
                     uint32_t slots, int32_t bits, struct tl_softmax *softmax);

void softmax_weights(int32_t *scores, const struct tl_scale *scale, const uint16_t *v_scales, int32_t top,
                     uint32_t slots, int32_t bits, struct tl_softmax *softmax) {
    *softmax = tl_softmax_weights(scores, *scale, v_scales, top, slots, bits);
}
