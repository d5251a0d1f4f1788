/* top_k and top_p: keeps the likeliest candidates, by number or by weight. Steps 4 and 5 of docs/sampling.md.
 *
 * A candidate is stored as its exponent (exponents.h). Candidates are in the order of token ids.
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

/* The candidates that are kept: those with an exponent below `last`, and the first `ties` with the exponent `last`. */
struct tl_kept {
    uint32_t last;
    uint32_t ties;
};

/* Whether a candidate is kept. Call it for each candidate in order, because it counts the ties down. */
static inline bool tl_is_kept(uint32_t exponent, struct tl_kept *kept) {
    if (exponent != kept->last) {
        return exponent < kept->last;
    }
    const bool is_kept = kept->ties > 0;
    kept->ties -= is_kept;
    return is_kept;
}

/* Keeps the top_k < n likeliest of n candidates. No exponent is above `limit`. */
struct tl_kept tl_keep_count(const uint32_t *exponents, uint32_t n, uint32_t limit, uint32_t top_k);

/* Keeps the fewest candidates that weigh at least top_p (Q16) of the total. total 0: the weight of all candidates.
   false: all of them together weigh less. */
bool tl_keep_weight(const uint32_t *exponents, uint32_t n, uint32_t limit, uint32_t top_p, uint64_t total,
                    struct tl_kept *kept);

/* Sets the exponents of candidates that are not kept to TL_DROPPED. */
void tl_drop(uint32_t *exponents, uint32_t n, struct tl_kept kept);

#ifdef __cplusplus
}
#endif

#endif
