/* Samples a token from logits, in integers; codegen/arithmetic/sampler.py is the specification. */
#ifndef TL_SAMPLER_H
#define TL_SAMPLER_H

#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TL_SAMPLER_ONE 65536u

/* All are Q16.16 except top_k; docs/sampling.md has their ranges. */
struct tl_sampler_settings {
    uint32_t temperature;        /* 0: greedy */
    uint32_t top_k;              /* 0, or TL_VOCAB_SIZE and more: keeps all tokens */
    uint32_t top_p;              /* TL_SAMPLER_ONE: keeps all tokens */
    uint32_t min_p;              /* 0: drops no token */
    uint32_t repetition_penalty; /* TL_SAMPLER_ONE: no penalty */
};

struct tl_random {
    uint64_t state;
};

void tl_random_seed(struct tl_random *random, uint32_t seed);
uint32_t tl_random_next(struct tl_random *random);

/* Draws a token id from logits (TL_VOCAB_SIZE,) Q16.16, which are overwritten. They then begin with the probabilities,
   Q30 relative to the likeliest, of the tokens that top_k and top_p keep, in the order of ids; 0 if min_p drops the
   token. recent (n_recent,): the tokens that the penalty applies to, all below TL_VOCAB_SIZE. The settings are in their
   ranges. Greedy sampling takes no random number and only penalises the logits; any other sampling takes one number. */
uint32_t tl_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                   const struct tl_sampler_settings *settings, struct tl_random *random);

/* The repetition penalty, which is the first step of tl_sample. Each recent token's logit, once, is divided by it if
   positive and multiplied by it if negative. penalty: Q16.16, in its range. */
void tl_penalize(int32_t *logits, const tl_token_t *recent, uint32_t n_recent, uint32_t penalty);

#ifdef __cplusplus
}
#endif

#endif
