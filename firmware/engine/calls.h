/* Calls: the texts that a model may generate between <call> and </call>, and the last one that it generated.
   codegen/actions/plan.py is the specification. A model without a catalogue makes no calls. */
#ifndef TL_CALLS_H
#define TL_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "call_tables.h"
#include "sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

#if TL_ACTIONS

/* Forgets a call that was begun. */
void tl_call_leave(void);

/* Takes the next token of the conversation, prefilled or sampled. Returns true if it completes a call. */
bool tl_call_read(uint32_t token);

/* Whether the last token is within a call: its text then belongs to the call, not to the answer. */
bool tl_call_is_open(void);

/* The text of the last complete call, without its control tokens. */
const char *tl_call_text(void);

/* As tl_sample, but only from the tokens that may follow here. No logit is INT32_MIN. */
uint32_t tl_call_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                        const struct tl_sampler_settings *settings, struct tl_random *random);

#else

static inline void tl_call_leave(void) {}

static inline bool tl_call_read(uint32_t token) {
    (void)token;
    return false;
}

static inline bool tl_call_is_open(void) {
    return false;
}

#define tl_call_sample tl_sample

#endif

#ifdef __cplusplus
}
#endif

#endif
