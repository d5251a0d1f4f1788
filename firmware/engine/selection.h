/* Which candidates are kept: the likeliest ones that are so many, or weigh so much. Steps 4 and 5 of docs/sampling.md.
 *
 * A candidate is its exponent (exponents.h). Candidates are in the order of their ids.
 */
#ifndef TL_SELECTION_H
#define TL_SELECTION_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The exponent of a candidate that was dropped; exponents in reach are below it. */
#define TL_DROPPED (UINT32_C(32) << 16)

/* Kept are the candidates with smaller exponents than the last, and the first `ties` with this one. */
struct tl_kept {
    uint32_t last;
    uint32_t ties;
};

/* Whether a candidate is kept; it is asked of each in turn. */
static inline bool tl_is_kept(uint32_t exponent, struct tl_kept *kept) {
    if (exponent != kept->last) {
        return exponent < kept->last;
    }
    const bool is_kept = kept->ties > 0;
    kept->ties -= is_kept;
    return is_kept;
}

/* Keeps top_k of the n candidates, fewer than n. No exponent is above `limit`. */
struct tl_kept tl_keep_count(const uint32_t *exponents, uint32_t n, uint32_t limit, uint32_t top_k);

/* Keeps the fewest that weigh top_p (Q16) of the total, which 0 makes what all of them weigh. false: all weigh less. */
bool tl_keep_weight(const uint32_t *exponents, uint32_t n, uint32_t limit, uint32_t top_p, uint64_t total,
                    struct tl_kept *kept);

/* Makes those that are not kept TL_DROPPED. */
void tl_drop(uint32_t *exponents, uint32_t n, struct tl_kept kept);

#ifdef __cplusplus
}
#endif

#endif
