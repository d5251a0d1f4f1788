#include "sampler.h"

#include <stdbool.h>
#include <string.h>

#include "fixedpoint.h"

/* PCG32, XSH-RR 64/32: O'Neill, HMC-CS-2014-0905; pcg_basic.c seeded with stream 54. */
#define PCG_MULTIPLIER UINT64_C(6364136223846793005)
#define PCG_INCREMENT UINT64_C(109)

/* log2(e) in Q58. */
#define LOG2E_Q58 UINT64_C(415828534307635078)

/* ln(2) in Q27. */
#define LN2_Q27 93032640u

/* A token 2^REACH times less likely than the likeliest is never drawn: all of them together weigh less than 2^-15. */
#define VOCAB_BITS tl_bit_length(TL_VOCAB_SIZE - 1u)
#define REACH tl_min(15 + VOCAB_BITS, 30)

/* MOSTLY, for conditions in loops: what follows one that is rare is kept out of the way. APART, for a function whose
   loop needs all registers of a Cortex-M0+: it is not made a part of its caller. */
#if defined(__GNUC__)
#define MOSTLY(condition) __builtin_expect(condition, 1)
#define APART __attribute__((noinline))
#else
#define MOSTLY(condition) (condition)
#define APART
#endif

/* One bit a token: those that were penalised, then the candidates, which are those that may still be drawn. */
#define MARKED_WORDS ((TL_VOCAB_SIZE + 31u) / 32u)
static uint32_t marked[MARKED_WORDS];

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

/* Whether the token was not marked before. */
static bool mark(uint32_t token) {
    const uint32_t bit = UINT32_C(1) << (token & 31u), before = marked[token >> 5];
    marked[token >> 5] = before | bit;
    return (before & bit) == 0;
}

/* Logits of recent tokens, each once: the positive divided by the penalty, the negative multiplied. */
static void penalize(int32_t *logits, const tl_token_t *recent, uint32_t n_recent, uint32_t penalty) {
    const int32_t reciprocal = (int32_t)(((UINT64_C(1) << 40) + penalty / 2u) / penalty);
    memset(marked, 0, sizeof marked);
    for (uint32_t i = 0; i < n_recent; i++) {
        const uint32_t token = recent[i];
        if (!mark(token)) {
            continue;
        }
        const int32_t logit = logits[token];
        if (logit > 0) {
            logits[token] = tl_saturate(((int64_t)logit * reciprocal + (1 << 23)) >> 24); /* < 2^62 */
        } else {
            logits[token] = tl_saturate(((int64_t)logit * (int32_t)penalty + (1 << 15)) >> 16); /* >= -2^54 */
        }
    }
}

/* Whether top_k drops tokens. */
static bool limits_count(const struct tl_sampler_settings *settings) {
    return settings->top_k > 0 && settings->top_k < TL_VOCAB_SIZE;
}

/* The lowest id of the largest logit. */
static uint32_t argmax(const int32_t *logits) {
    const int32_t *const end = logits + TL_VOCAB_SIZE;
    const int32_t *best = logits;
    for (const int32_t *x = logits + 1;; best = x++) {
        const int32_t largest = *best;
        /* Most of the time none of the next four is larger. */
        while (end - x >= 4 && x[0] <= largest && x[1] <= largest && x[2] <= largest && x[3] <= largest) {
            x += 4;
        }
        while (x != end && *x <= largest) {
            x++;
        }
        if (x == end) {
            return (uint32_t)(best - logits);
        }
    }
}

/* Q30, of a candidate's exponent. */
static uint32_t probability(uint32_t exponent) {
    return tl_exp2_negative_q30(exponent);
}

/* A distance to the largest logit, at most `reach`, that the top_k likeliest tokens do not exceed. Not the smallest one:
   it counts tokens in 32 ranges. */
static uint32_t reach_of_top_k(const int32_t *x, int32_t largest, uint32_t reach, uint32_t top_k,
                               uint32_t temperature) {
    const uint32_t shift = (uint32_t)tl_max(tl_bit_length(reach) - 5, 0);
    uint32_t tokens[32] = {0};
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        const uint32_t range = ((uint32_t)largest - (uint32_t)x[i]) >> shift;
        if (range < 32u) {
            tokens[range]++;
        }
    }
    uint32_t nearer = 0, range = 0;
    while (range < 32u && nearer + tokens[range] < top_k) {
        nearer += tokens[range++];
    }
    /* Distances that differ by more than 1.04 times the temperature have different exponents. */
    const uint32_t enough = ((range + 1u) << shift) + 2u * (temperature >> 16) + 2u;
    return enough < reach ? enough : reach;
}

/* Makes the tokens in reach candidates: marks them, and overwrites the logits with their exponents, in the order of ids.
   Returns how many they are. Tokens with an exponent above `limit` are only weighed: *others is the sum of their
   probabilities, which must be less than 2^32. */
APART static uint32_t list_candidates(int32_t *x, const struct tl_sampler_settings *settings, uint32_t limit,
                                      uint32_t *others) {
    const uint32_t temperature = settings->temperature;
    const uint64_t reciprocal = (LOG2E_Q58 + temperature / 2u) / temperature; /* of log2(e) / temperature in Q42 */
    const int32_t length = tl_bit_length64(reciprocal);                       /* 36 to 59 */
    const uint32_t multiplier = (uint32_t)((reciprocal >> (length - 22)) + 1u) >> 1; /* 2^20 to 2^21 */
    const uint32_t left = (uint32_t)length - 35u;
    const int32_t largest = x[argmax(x)];
    const uint32_t rounded = ((uint32_t)largest << left) + 32u;
    uint32_t reach = (uint32_t)(temperature * (uint64_t)((uint32_t)REACH * LN2_Q27) >> 27); /* < 2^28 */
    if (limits_count(settings)) {
        reach = reach_of_top_k(x, largest, reach, settings->top_k, temperature);
    }
    const int32_t farthest = tl_saturate((int64_t)largest - reach);
    const int32_t *const end = x + TL_VOCAB_SIZE;
    uint32_t *exponents = (uint32_t *)x;
    uint32_t n = 0, sum = 0;
    memset(marked, 0, sizeof marked);
    for (const int32_t *logit = x; logit != end; logit++) {
        if (MOSTLY(*logit < farthest)) {
            continue;
        }
        /* distance * multiplier / 2^22, in two parts of less than 2^32; the distance is below 2^23. */
        const uint32_t distance = rounded - ((uint32_t)*logit << left); /* times 2^6 */
        const uint32_t high = (distance >> 17) * multiplier, low = (distance >> 6 & 2047u) * multiplier;
        const uint32_t exponent = (high + (low >> 11)) >> 11;
        if (exponent > limit) {
            sum += probability(exponent);
        } else {
            exponents[n++] = exponent;
            mark((uint32_t)(logit - x));
        }
    }
    *others = sum;
    return n;
}

/* Keeps the candidates with an exponent up to `last`, but of those with `last` itself only the first `ties`. */
static uint32_t keep(uint32_t *exponents, uint32_t last, uint32_t ties) {
    const uint32_t *from = exponents;
    uint32_t n = 0;
    for (uint32_t word = 0; word < MARKED_WORDS; word++) {
        uint32_t kept = marked[word];
        for (uint32_t bits = kept; bits != 0; bits &= bits - 1u) {
            const uint32_t exponent = *from++;
            if (exponent > last || (exponent == last && ties == 0)) {
                kept ^= bits & (0u - bits);
                continue;
            }
            ties -= exponent == last;
            exponents[n++] = exponent;
        }
        marked[word] = kept;
    }
    return n;
}

/* What a candidate weighs: 1 if `by_count`, else its probability. */
static uint32_t weight_of(uint32_t exponent, bool by_count) {
    return by_count ? 1u : probability(exponent);
}

#define N_RANGES 32u

/* Ranges of exponents: what the candidates in each weigh together, and the exponent of one of them. Static, since they
   would be most of the stack. */
static struct range {
    uint64_t weight;
    uint32_t exponent;
} ranges[N_RANGES];

/* Weighs the ranges of 2^shift exponents each from `first` on. */
static void weigh(const uint32_t *exponents, uint32_t n, bool by_count, uint32_t first, uint32_t shift) {
    for (uint32_t i = 0; i < N_RANGES; i++) {
        ranges[i].weight = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t range = (exponents[i] - first) >> shift;
        if (range < N_RANGES) {
            ranges[range].weight += weight_of(exponents[i], by_count);
            ranges[range].exponent = exponents[i];
        }
    }
}

/* ceil(total * fraction / 2^16), fraction at most 2^16: < 2^62. */
static uint64_t share(uint64_t total, uint32_t fraction) {
    return (total >> 16) * fraction + (((total & 0xFFFFu) * fraction + 0xFFFFu) >> 16);
}

/* Keeps the shortest run of candidates, likeliest first and the lower id of equals, that weighs enough: so many if
   `by_count`, else this fraction (Q16) of what all candidates and the `others` weigh. Returns how many are left.
   The exponent of the run's last one is found by radix selection, five bits at a time: no order is written down. */
static uint32_t keep_first(uint32_t *exponents, uint32_t n, bool by_count, uint32_t enough, uint32_t others) {
    uint32_t first = 0, shift = 16;
    weigh(exponents, n, by_count, first, shift);
    uint64_t target = enough;
    if (!by_count) {
        uint64_t total = others;
        for (uint32_t i = 0; i < N_RANGES; i++) {
            total += ranges[i].weight;
        }
        target = share(total, enough);
    }
    for (uint64_t above = 0;;) { /* what the candidates before the range weigh, < target */
        const struct range *range = ranges;
        while (above + range->weight < target) {
            above += range->weight;
            range++;
        }
        const uint32_t one = weight_of(range->exponent, by_count);
        if (shift == 0 || range->weight == one) { /* all in it have the same exponent */
            uint32_t ties = 0;
            for (; above < target; above += one) {
                ties++;
            }
            return keep(exponents, range->exponent, ties);
        }
        first += (uint32_t)(range - ranges) << shift;
        n = keep(exponents, first + (1u << shift) - 1u, n);
        shift = shift > 5u ? shift - 5u : 0;
        weigh(exponents, n, by_count, first, shift);
    }
}

static uint32_t id_of(uint32_t candidate) {
    for (uint32_t word = 0;; word++) {
        for (uint32_t bits = marked[word]; bits != 0; bits &= bits - 1u) {
            if (candidate-- == 0) {
                return word * 32u + (uint32_t)tl_bit_length(bits & (0u - bits)) - 1u;
            }
        }
    }
}

/* Overwrites the exponents with the probabilities to draw from, and returns the id of the token that is drawn. */
static uint32_t draw(uint32_t *p, uint32_t n, uint32_t min_p, struct tl_random *random) {
    const uint32_t least = min_p << 14; /* min_p of the likeliest, whose p is 2^30 */
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t here = probability(p[i]);
        p[i] = here < least ? 0 : here;
        total += p[i];
    }
    /* The first token whose running sum exceeds floor(random * total / 2^32), which is less than the total. */
    const uint64_t uniform = tl_random_next(random);
    const uint64_t drawn = uniform * (total >> 32) + ((uniform * (total & UINT32_MAX)) >> 32); /* < 2^62 */
    uint32_t candidate = 0;
    for (uint64_t running = p[0]; running <= drawn; running += p[candidate]) {
        candidate++;
    }
    return id_of(candidate);
}

uint32_t tl_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                   const struct tl_sampler_settings *settings, struct tl_random *random) {
    if (settings->repetition_penalty != TL_SAMPLER_ONE) {
        penalize(logits, recent, n_recent, settings->repetition_penalty);
    }
    if (settings->temperature == 0) {
        return argmax(logits);
    }
    const bool by_count = limits_count(settings), by_weight = settings->top_p < TL_SAMPLER_ONE;
    uint32_t limit = UINT32_MAX, others;
    if (by_weight && !by_count) {
        /* Were all tokens beyond, they would weigh at most 1 - top_p of the likeliest: top_p keeps none of them. */
        limit = (uint32_t)(VOCAB_BITS + 17 - tl_bit_length(TL_SAMPLER_ONE - settings->top_p)) << 16;
    }
    uint32_t *candidates = (uint32_t *)logits;
    uint32_t n = list_candidates(logits, settings, limit, &others);
    if (by_count && settings->top_k < n) {
        n = keep_first(candidates, n, true, settings->top_k, 0);
    }
    if (by_weight) {
        n = keep_first(candidates, n, false, settings->top_p, others);
    }
    return draw(candidates, n, settings->min_p, random);
}
