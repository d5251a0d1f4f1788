#include "kernels.h"

#if defined(__GNUC__)
#define MOSTLY(condition) __builtin_expect(condition, 1) /* so that compilers do not compute a probability in advance */
#else
#define MOSTLY(condition) (condition)
#endif

static inline uint32_t probability_of(int32_t logit, const struct tl_exponents *exponents) {
    return MOSTLY(logit < exponents->farthest) ? 0 : tl_logit_probability(logit, exponents);
}

void tl_sum_probabilities(const int32_t *logits, uint32_t n, const struct tl_exponents *exponents, uint64_t *sum) {
    const struct tl_exponents own = *exponents;
    uint64_t total = 0;
    for (; n >= 3; n -= 3, logits += 3) { /* three probabilities are at most 3 * 2^30, which fits 32 bits */
        total += probability_of(logits[0], &own) + probability_of(logits[1], &own) + probability_of(logits[2], &own);
    }
    for (; n > 0; n--) total += probability_of(*logits++, &own);
    *sum = total;
}
