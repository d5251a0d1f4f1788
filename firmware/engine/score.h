/* Sums of UNIGRAM scores, bit-exact with the libraries that the tokenizers come from: IEEE 754 additions, round to
   nearest, ties to even, done in integers. Values are the bits of a double (or of a float): zero or normal numbers
   between 2^-126 and 2^120. No sum leaves the normal range of a double. */
#ifndef TL_SCORE_H
#define TL_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* a + b. */
uint64_t tl_score_add(uint64_t a, uint64_t b);

/* a > b. */
bool tl_score_above(uint64_t a, uint64_t b);

/* The double with the value of a float. */
uint64_t tl_score_widen(uint32_t single);

/* The float nearest to a double that is zero or at least 2^-126 in magnitude, ties to even. */
uint32_t tl_score_narrow(uint64_t wide);

#ifdef __cplusplus
}
#endif

#endif
