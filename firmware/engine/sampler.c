#include "sampler.h"

#include <stdbool.h>
#include <string.h>

#include "fixedpoint.h"

/* PCG32, XSH-RR 64/32: O'Neill, HMC-CS-2014-0905; pcg_basic.c seeded with stream 54. */
#define PCG_MULTIPLIER UINT64_C(6364136223846793005)
#define PCG_INCREMENT UINT64_C(109)

/* log2(e) in Q58. */
#define LOG2E_Q58 UINT64_C(415828534307635078)

uint32_t tl_random_next(struct tl_random *random) {
    const uint64_t old = random->state;
    random->state = old * PCG_MULTIPLIER + PCG_INCREMENT;
    const uint32_t xorshifted = (uint32_t)((old >> 18 ^ old) >> 27);
    const uint32_t rotation = (uint32_t)(old >> 59);
    return xorshifted >> rotation | xorshifted << ((32u - rotation) & 31u);
}

void tl_random_seed(struct tl_random *random, uint32_t seed) {
    random->state = 0;
    (void)tl_random_next(random);
    random->state += seed;
    (void)tl_random_next(random);
}

/* Logits of recent tokens, each once: the positive divided by the penalty, the negative multiplied. */
static void penalize(int32_t *logits, const tl_token_t *recent, uint32_t n_recent, uint32_t penalty) {
    static uint8_t seen[(TL_VOCAB_SIZE + 7u) / 8u];
    const int64_t reciprocal = (int64_t)(((UINT64_C(1) << 40) + penalty / 2u) / penalty); /* < 2^31 */
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < n_recent; i++) {
        const uint32_t token = recent[i];
        const uint8_t bit = (uint8_t)(1u << (token & 7u));
        if ((seen[token >> 3] & bit) != 0) {
            continue;
        }
        seen[token >> 3] |= bit;
        const int64_t logit = logits[token];
        if (logit > 0) {
            logits[token] = tl_saturate((logit * reciprocal + (INT64_C(1) << 23)) >> 24); /* < 2^62 */
        } else {
            logits[token] = tl_saturate((logit * (int64_t)penalty + (INT64_C(1) << 15)) >> 16); /* >= -2^54 */
        }
    }
}

/* The lowest id of the largest logit. */
static uint32_t argmax(const int32_t *logits) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < TL_VOCAB_SIZE; i++) {
        if (logits[i] > logits[best]) {
            best = i;
        }
    }
    return best;
}

/* logits -> p in place: 2^(-distance * log2(e) / temperature) as Q30, 2^30 for the largest logit. */
static void softmax_q30(int32_t *x, uint32_t temperature) {
    const uint64_t reciprocal = (LOG2E_Q58 + temperature / 2u) / temperature; /* < 2^59 */
    const uint64_t farthest = ((UINT64_C(1) << 63) - (UINT64_C(1) << 42)) / reciprocal;
    const uint32_t largest = (uint32_t)x[argmax(x)];
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        const uint32_t distance = largest - (uint32_t)x[i]; /* exact modulo 2^32 */
        uint32_t p = 0;
        if (distance <= farthest) {
            /* The product is at most 2^63 - 2^42, so the exponent is at most 2^21: 32.0. */
            p = tl_exp2_q30(-(int32_t)((distance * reciprocal + (UINT64_C(1) << 41)) >> 42));
        }
        x[i] = (int32_t)p;
    }
}

/* Keeps the shortest run of tokens, likeliest first and the lower id of equals, that weighs at least `target`; the
   rest become 0. A token weighs 1 if `by_count`, else its p; all together weigh at least `target` >= 1.
   The last one's p is found by radix selection, four bits at a time: no order is ever written down. */
static void keep_first(int32_t *p, uint64_t target, bool by_count) {
    uint32_t last = 0;
    uint64_t above = 0; /* weight of the tokens likelier than all that agree with `last` so far, < target */
    for (uint32_t shift = 32u; shift > 0;) {
        uint64_t weight[16] = {0};
        shift -= 4u;
        for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
            const uint32_t digit = ((uint32_t)p[i] ^ last) >> shift;
            if (digit < 16u) { /* agrees with `last`, whose digit from here on is still 0 */
                weight[digit] += by_count ? 1u : (uint32_t)p[i];
            }
        }
        uint32_t digit = 15u;
        while (above + weight[digit] < target) {
            above += weight[digit--];
        }
        last |= digit << shift;
    }
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        const uint32_t here = (uint32_t)p[i];
        if (here == last && above < target) {
            above += by_count ? 1u : here;
        } else if (here <= last) {
            p[i] = 0;
        }
    }
}

/* Sum of all p: < 2^62 for 2^32 tokens. */
static uint64_t sum(const int32_t *p) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        total += (uint32_t)p[i];
    }
    return total;
}

/* ceil(total * fraction / 2^16), fraction at most 2^16: < 2^62. */
static uint64_t share(uint64_t total, uint32_t fraction) {
    return (total >> 16) * fraction + (((total & 0xFFFFu) * fraction + 0xFFFFu) >> 16);
}

uint32_t tl_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                   const struct tl_sampler_settings *settings, struct tl_random *random) {
    if (settings->repetition_penalty != TL_SAMPLER_ONE) {
        penalize(logits, recent, n_recent, settings->repetition_penalty);
    }
    if (settings->temperature == 0) {
        return argmax(logits);
    }
    int32_t *p = logits;
    softmax_q30(p, settings->temperature);
    if (settings->top_k > 0 && settings->top_k < TL_VOCAB_SIZE) {
        keep_first(p, settings->top_k, true);
    }
    if (settings->top_p < TL_SAMPLER_ONE) {
        keep_first(p, share(sum(p), settings->top_p), false);
    }
    const int32_t least = (int32_t)(settings->min_p << 14); /* min_p of the likeliest, whose p is 2^30 */
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        if (p[i] < least) {
            p[i] = 0;
        }
    }
    /* The first token whose running sum exceeds floor(random * total / 2^32), which is less than the total. */
    const uint64_t total = sum(p);
    const uint64_t uniform = tl_random_next(random);
    const uint64_t drawn = uniform * (total >> 32) + ((uniform * (total & UINT32_MAX)) >> 32); /* < 2^62 */
    uint32_t token = 0;
    for (uint64_t running = (uint32_t)p[0]; running <= drawn; running += (uint32_t)p[token]) {
        token++;
    }
    return token;
}
