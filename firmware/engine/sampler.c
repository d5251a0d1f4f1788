#include "sampler.h"

#include <stdbool.h>

#include "kernels.h"
#include "selection.h"

/* PCG32, XSH-RR 64/32: O'Neill, HMC-CS-2014-0905; pcg_basic.c seeded with stream 54. */
#define PCG_MULTIPLIER UINT64_C(6364136223846793005)
#define PCG_INCREMENT UINT64_C(109)

/* log2(e) in Q58. */
#define LOG2E_Q58 UINT64_C(415828534307635078)

/* ln(2) in Q27. */
#define LN2_Q27 93032640u

/* A token 2^REACH times less likely than the likeliest is never drawn: all of these together weigh less than 2^-15. */
#define VOCAB_BITS tl_bit_length(TL_VOCAB_SIZE - 1u)
#define REACH tl_min(15 + VOCAB_BITS, 30)

/* MOSTLY(condition): the condition is nearly always true, so the compiler moves the other branch out of the loop.
   APART: the function is not inlined, because its loop needs all registers of a Cortex-M0+. */
#if defined(__GNUC__)
#define MOSTLY(condition) __builtin_expect(condition, 1)
#define APART __attribute__((noinline))
#else
#define MOSTLY(condition) (condition)
#define APART
#endif

/* Number of blocks that the vocabulary is divided into if every token may be drawn. */
#define BLOCKS 16u

/* One bit a token: first the tokens that were penalised, then the candidates, the tokens that may still be drawn. */
#define MARKED_WORDS ((TL_VOCAB_SIZE + 31u) / 32u)
static uint32_t marked[MARKED_WORDS];

/* With top_k: the number of tokens in each range of distances. Without: the candidates' exponents, if they are few. */
static uint32_t few[TL_DISTANCES];

#define FEW TL_DISTANCES
#define ROOM_FOR_ALL (TL_VOCAB_SIZE + 32u)

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

/* volatile, so that no compiler turns the loop into memset, which in some C libraries takes four instructions a
 * byte. */
static void clear(volatile uint32_t *words, uint32_t n) {
    TL_UNROLL
    for (uint32_t i = 0; i < n; i++) {
        words[i] = 0;
    }
}

static uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* Marks a token; false if it was marked before. */
static bool mark(uint32_t token) {
    const uint32_t bit = UINT32_C(1) << (token & 31u), before = marked[token >> 5];
    if ((before & bit) != 0) {
        return false;
    }
    marked[token >> 5] = before | bit;
    return true;
}

/* saturate(logit * factor / 2^24) to nearest, ties up. factor < 2^31 */
static inline int32_t times(int32_t logit, uint32_t factor) {
    if (!TL_WIDE_PRODUCTS && MOSTLY((uint32_t)(logit >> 20) + 1u <= 1u)) {
        /* The factor in three parts of 11 bits. Each shift floors, so the sum is the floor of the whole product. */
        const int32_t low = logit * (int32_t)(factor & 2047u);
        const int32_t middle = logit * (int32_t)(factor >> 11 & 2047u) + (low >> 11);
        return (logit * (int32_t)(factor >> 22) + (middle >> 11) + 2) >> 2;
    }
    return tl_saturate(((int64_t)logit * (int32_t)factor + (1 << 23)) >> 24);
}

APART void tl_penalize(int32_t *logits, const tl_token_t *recent, uint32_t n_recent, uint32_t penalty) {
    static uint32_t known, reciprocal; /* the last penalty and its reciprocal, < 2^31 */
    if (penalty != known) {
        reciprocal = (uint32_t)(((UINT64_C(1) << 40) + penalty / 2u) / penalty);
        known = penalty;
    }
    const uint32_t divide = reciprocal, multiply = penalty << 8;
    clear(marked, MARKED_WORDS);
    for (const tl_token_t *const end = recent + n_recent; recent != end; recent++) {
        if (mark(*recent)) {
            int32_t *const logit = logits + *recent;
            *logit = times(*logit, *logit > 0 ? divide : multiply);
        }
    }
}

/* The id of the largest logit; of equal ones the lowest id. */
static uint32_t argmax(const int32_t *logits) {
    uint32_t best = 0;
    for (uint32_t i = 0; i < TL_VOCAB_SIZE;
         i += 1u + tl_first_above(logits + i + 1u, TL_VOCAB_SIZE - i - 1u, logits[i])) {
        best = i;
    }
    return best;
}

/* --- Exponents and probabilities --- */

/* The scale of a temperature; set_reach is still to be called, until then only the largest logit is in reach. */
static struct tl_exponents exponents_of(int32_t largest, uint32_t temperature) {
    static uint32_t known, left, multiplier; /* of the last temperature: the division is slow on a Cortex-M0+ */
    if (temperature != known) {
        const uint64_t reciprocal = (LOG2E_Q58 + temperature / 2u) / temperature; /* of log2(e) / temperature in Q42 */
        const int32_t length = tl_bit_length64(reciprocal);                       /* 36 to 59 */
        left = (uint32_t)length - 35u;
        multiplier = (((uint32_t)(reciprocal >> (length - 22)) + 1u) >> 1) * (TL_WIDE_PRODUCTS ? 1024u : 1u);
        known = temperature;
    }
    return (struct tl_exponents){((uint32_t)largest << left) + 32u, left, multiplier, largest};
}

static void set_reach(struct tl_exponents *scale, int32_t largest, uint32_t reach) {
    scale->farthest = tl_saturate((int64_t)largest - reach);
}

/* An exponent, Q16.16: tokens with a larger one have a probability below p (Q30). log2(1 + x) >= x if 0 <= x <= 1. */
static uint32_t octaves_to(uint64_t p) {
    const int32_t whole = tl_bit_length64(p | 1u) - 1;
    return whole < 30 ? ((uint32_t)(31 - whole) << 16) - (uint32_t)((p | 1u) << 16 >> whole) : 0;
}

/* A distance to the largest logit: logits that are farther from it have exponents above `octaves`. */
static uint32_t distance_of(uint32_t octaves, uint32_t temperature) {
    return (uint32_t)(((uint64_t)temperature * (octaves + 4u) >> 16) * LN2_Q27 >> 27) + 3u; /* < 2^28 */
}

#define DISTANCE_BITS 7u /* TL_DISTANCES = 2^DISTANCE_BITS */

/* A distance that the top_k likeliest tokens do not exceed. Radix selection refines it until few other tokens are
   within it. If top_k is small, only the likeliest of each four tokens is counted, which is faster. */
static uint32_t distance_of_top_k(const int32_t *x, int32_t largest, uint32_t reach, uint32_t top_k,
                                  uint32_t temperature) {
    uint32_t shift = (uint32_t)tl_max(tl_bit_length(reach) - (int32_t)DISTANCE_BITS, 0);
    const uint32_t quarter = 8u * top_k < TL_VOCAB_SIZE ? TL_VOCAB_SIZE / 4u : 0, in_fours = 4u * quarter;
    uint32_t distance = 0, nearer = 0;
    uint32_t *const tokens = few;
    for (;;) {
        const uint32_t from = (uint32_t)largest - distance;
        clear(tokens, TL_DISTANCES);
        tl_count_least_distances(x, quarter, from, shift, tokens);
        tl_count_distances(x + in_fours, TL_VOCAB_SIZE - in_fours, from, shift, tokens);
        uint32_t range = 0;
        while (range < TL_DISTANCES && nearer + tokens[range] < top_k) {
            nearer += tokens[range++];
        }
        if (range == TL_DISTANCES) {
            return reach;
        }
        distance += range << shift;
        if (shift == 0 || tokens[range] <= top_k / 2u + 8u) {
            break;
        }
        shift = shift > DISTANCE_BITS ? shift - DISTANCE_BITS : 0;
    }
    /* Slack for equal exponents: distances that differ by more than 1.04 times the temperature have different ones. */
    return distance + (1u << shift) + 2u * (temperature >> 16) + 2u;
}

/* --- Candidates --- */

/* The candidates' exponents in the order of token ids. `marked` has the ids; no exponent is above `limit`. */
struct candidates {
    uint32_t *exponents;
    uint32_t n;
    uint32_t limit;
};

/* Lists the tokens in reach as candidates. n is above `room` if there may be no room for all. `exponents` may be x. */
APART static struct candidates list_candidates(const int32_t *x, const struct tl_exponents *scale, uint32_t *exponents,
                                               uint32_t room) {
    const struct tl_exponents own = *scale;
    int32_t *const logits = (int32_t *)exponents;
    const uint32_t n = tl_copy_above(x, TL_VOCAB_SIZE, own.farthest - 1, logits, room, marked);
    uint32_t limit = 0;
    for (uint32_t i = 0; i < n && n <= room; i++) {
        const uint32_t exponent = tl_exponent(logits[i], &own);
        exponents[i] = exponent;
        limit = exponent > limit ? exponent : limit;
    }
    return (struct candidates){exponents, n, limit};
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

/* --- The draw --- */

/* floor(random * total / 2^32), less than the total, which is below 2^62. */
static uint64_t point_below(uint64_t total, struct tl_random *random) {
    const uint64_t uniform = tl_random_next(random);
    return uniform * (total >> 32) + ((uniform * (total & UINT32_MAX)) >> 32);
}

/* Draws one of the candidates that are kept and weigh at least min_p of the likeliest: the first one whose running sum
   exceeds a random point. The probabilities replace the exponents. */
static uint32_t draw(struct candidates candidates, struct tl_kept kept, uint32_t min_p, struct tl_random *random) {
    const uint32_t least = min_p << 14; /* the likeliest has 2^30 */
    uint32_t *const p = candidates.exponents;
    uint64_t total = 0;
    for (uint32_t i = 0; i < candidates.n; i++) {
        const uint32_t own = tl_is_kept(p[i], &kept) ? tl_exp2_negative_q30(p[i]) : 0;
        p[i] = own < least ? 0 : own;
        total += p[i];
    }
    uint64_t rest = point_below(total, random);
    uint32_t drawn = 0;
    while (p[drawn] <= rest) {
        rest -= p[drawn++];
    }
    return id_of(drawn);
}

/* Draws one of all tokens in reach. The sums of the blocks tell which block it is in; only this block is read again. */
static uint32_t draw_from_all(const int32_t *x, const struct tl_exponents *scale, struct tl_random *random) {
    const uint32_t block = (TL_VOCAB_SIZE + BLOCKS - 1u) / BLOCKS;
    uint64_t sums[BLOCKS], total = 0;
    for (uint32_t i = 0, first = 0; first < TL_VOCAB_SIZE; i++, first += block) {
        tl_sum_probabilities(x + first, smaller(TL_VOCAB_SIZE - first, block), scale, &sums[i]);
        total += sums[i];
    }
    uint64_t rest = point_below(total, random);
    uint32_t i = 0;
    while (sums[i] <= rest) {
        rest -= sums[i++];
    }
    for (uint32_t token = i * block;; token++) {
        const uint32_t own = tl_logit_probability(x[token], scale);
        if (own > rest) {
            return token;
        }
        rest -= own;
    }
}

/* --- Sampling --- */

/* Draws one of the tokens that top_p and min_p keep. */
static uint32_t sample_top_p(int32_t *logits, struct tl_exponents *scale, int32_t largest, uint32_t reach,
                             const struct tl_sampler_settings *settings, struct tl_random *random) {
    const uint32_t top_p = settings->top_p, min_p = settings->min_p, temperature = settings->temperature;
    uint64_t total;
    set_reach(scale, largest, reach);
    tl_sum_probabilities(logits, TL_VOCAB_SIZE, scale, &total);
    const uint64_t tail = (total >> 16) * (TL_SAMPLER_ONE - top_p); /* about the weight of the tokens top_p drops */
    if (min_p > 0) {
        reach = smaller(reach, distance_of(octaves_to((uint64_t)min_p << 14), temperature));
    }
    /* A guess that mostly holds: top_p drops a token if 64 like it weigh less than the tail. */
    const uint32_t guess = smaller(reach, distance_of(octaves_to(tail >> 6), temperature));
    set_reach(scale, largest, guess);
    struct candidates found = list_candidates(logits, scale, few, FEW);
    struct tl_kept kept = {found.limit, found.n};
    if (found.n > FEW || (!tl_keep_weight(few, found.n, found.limit, top_p, total, &kept) && guess < reach)) {
        /* This bound is certain: top_p drops a token if even TL_VOCAB_SIZE like it weigh less than the tail. */
        set_reach(scale, largest, smaller(reach, distance_of(octaves_to(tail >> VOCAB_BITS), temperature)));
        found = list_candidates(logits, scale, (uint32_t *)logits, ROOM_FOR_ALL);
        kept = (struct tl_kept){found.limit, found.n};
        (void)tl_keep_weight(found.exponents, found.n, found.limit, top_p, total, &kept);
    }
    return draw(found, kept, min_p, random);
}

uint32_t tl_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                   const struct tl_sampler_settings *settings, struct tl_random *random) {
    const uint32_t temperature = settings->temperature, top_k = settings->top_k, min_p = settings->min_p;
    if (settings->repetition_penalty != TL_SAMPLER_ONE) {
        tl_penalize(logits, recent, n_recent, settings->repetition_penalty);
    }
    const uint32_t likeliest = argmax(logits);
    if (temperature == 0) {
        return likeliest;
    }
    const bool by_count = top_k > 0 && top_k < TL_VOCAB_SIZE, by_weight = settings->top_p < TL_SAMPLER_ONE;
    const int32_t largest = logits[likeliest];
    struct tl_exponents scale = exponents_of(largest, temperature);
    uint32_t reach = (uint32_t)(temperature * (uint64_t)((uint32_t)REACH * LN2_Q27) >> 27); /* < 2^28 */
    if (by_weight && !by_count) {
        return sample_top_p(logits, &scale, largest, reach, settings, random);
    }
    if (by_count) {
        reach = smaller(reach, distance_of_top_k(logits, largest, reach, top_k, temperature));
    }
    if (min_p > 0 && !by_weight) {
        reach = smaller(reach, distance_of(octaves_to((uint64_t)min_p << 14), temperature));
    }
    set_reach(&scale, largest, reach);
    if (!by_count && min_p == 0) {
        return draw_from_all(logits, &scale, random);
    }
    const struct candidates found = list_candidates(logits, &scale, (uint32_t *)logits, ROOM_FOR_ALL);
    struct tl_kept kept = {found.limit, found.n};
    if (by_count && top_k < found.n) {
        kept = tl_keep_count(found.exponents, found.n, found.limit, top_k);
    }
    if (by_weight) {
        tl_drop(found.exponents, found.n, kept);
        (void)tl_keep_weight(found.exponents, found.n, kept.last, settings->top_p, 0, &kept);
    }
    return draw(found, kept, min_p, random);
}
