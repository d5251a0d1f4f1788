/* Radix selection, four bits of the exponents at a time: nothing is sorted. */
#include "selection.h"

#include "fixedpoint.h"

#if defined(__GNUC__)
#define APART __attribute__((noinline))
#else
#define APART
#endif

#define RANGE_BITS 4u
#define N_RANGES (1u << RANGE_BITS)

/* Ranges of exponents: the weight of all candidates in each, and the exponent of one of them. Static, because they
   would be most of the stack. */
static struct range {
    uint32_t low, high; /* words of the weight */
    uint32_t exponent;
} ranges[N_RANGES];

/* The weight of a candidate: 1 if `by_count`, else its probability. */
static inline uint32_t weight_of(uint32_t exponent, bool by_count) {
    return by_count ? 1u : tl_exp2_negative_q30(exponent);
}

/* Fills `ranges`: range i has 2^shift exponents, from first + i * 2^shift on. */
static inline void weigh(const uint32_t *exponents, uint32_t n, bool by_count, uint32_t first, uint32_t shift) {
    TL_UNROLL
    for (uint32_t i = 0; i < N_RANGES; i++) {
        ranges[i].low = ranges[i].high = 0;
    }
    for (const uint32_t *const end = exponents + n; exponents != end; exponents++) {
        const uint32_t range = (*exponents - first) >> shift;
        if (range < N_RANGES) {
            struct range *const own = ranges + range;
            const uint32_t weight = weight_of(*exponents, by_count), low = own->low + weight;
            own->exponent = *exponents;
            own->low = low;
            if (low < weight) {
                own->high++;
            }
        }
    }
}

/* Two functions, so that the loop of each has all registers. */
APART static void count_ranges(const uint32_t *exponents, uint32_t n, uint32_t first, uint32_t shift) {
    weigh(exponents, n, true, first, shift);
}

APART static void weigh_ranges(const uint32_t *exponents, uint32_t n, uint32_t first, uint32_t shift) {
    weigh(exponents, n, false, first, shift);
}

static inline uint64_t weight_of_range(const struct range *range) {
    return (uint64_t)range->high << 32 | range->low;
}

static uint64_t weight_of_ranges(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < N_RANGES; i++) {
        sum += weight_of_range(ranges + i);
    }
    return sum;
}

/* The shift at which the ranges cover all exponents up to `limit`. */
static uint32_t first_shift(uint32_t limit) {
    return (uint32_t)tl_max(tl_bit_length(limit) - (int32_t)RANGE_BITS, 0);
}

/* Keeps the fewest candidates that weigh `target`. `ranges` is filled for this shift, and weighs at least as much. */
static struct tl_kept keep_at(const uint32_t *exponents, uint32_t n, uint32_t shift, bool by_count, uint64_t target) {
    uint32_t first = 0;
    for (uint64_t above = 0;;) { /* weight of the candidates before the range, < target */
        const struct range *range = ranges;
        while (above + weight_of_range(range) < target) {
            above += weight_of_range(range);
            range++;
        }
        const uint32_t one = weight_of(range->exponent, by_count);
        if (shift == 0 || weight_of_range(range) == one) { /* all candidates in it have the same exponent */
            struct tl_kept kept = {range->exponent, 0};
            for (; above < target; above += one) {
                kept.ties++;
            }
            return kept;
        }
        first += (uint32_t)(range - ranges) << shift;
        shift = shift > RANGE_BITS ? shift - RANGE_BITS : 0;
        if (by_count) {
            count_ranges(exponents, n, first, shift);
        } else {
            weigh_ranges(exponents, n, first, shift);
        }
    }
}

struct tl_kept tl_keep_count(const uint32_t *exponents, uint32_t n, uint32_t limit, uint32_t top_k) {
    const uint32_t shift = first_shift(limit);
    count_ranges(exponents, n, 0, shift);
    return keep_at(exponents, n, shift, true, top_k);
}

/* ceil(total * fraction / 2^16), fraction at most 2^16: < 2^62. */
static uint64_t share(uint64_t total, uint32_t fraction) {
    return (total >> 16) * fraction + (((total & 0xFFFFu) * fraction + 0xFFFFu) >> 16);
}

bool tl_keep_weight(const uint32_t *exponents, uint32_t n, uint32_t limit, uint32_t top_p, uint64_t total,
                    struct tl_kept *kept) {
    const uint32_t shift = first_shift(limit);
    weigh_ranges(exponents, n, 0, shift);
    const uint64_t weight = weight_of_ranges(), target = share(total != 0 ? total : weight, top_p);
    if (weight < target) {
        return false;
    }
    *kept = keep_at(exponents, n, shift, false, target);
    return true;
}

void tl_drop(uint32_t *exponents, uint32_t n, struct tl_kept kept) {
    for (uint32_t i = 0; i < n; i++) {
        if (!tl_is_kept(exponents[i], &kept)) {
            exponents[i] = TL_DROPPED;
        }
    }
}
