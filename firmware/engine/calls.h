/* Calls: what a model may write between <call> and </call>, and what it has written. codegen/actions/plan.py is the
   specification. A model without a catalogue makes none. */
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

/* What was begun is no call. */
void tl_call_leave(void);

/* Takes a token that was read or sampled. True if it ends a whole call. */
bool tl_call_read(uint32_t token);

/* Whether the last token that was taken is within a call: its text is the call's, not the answer's. */
bool tl_call_is_open(void);

/* The call that was ended last, without its marks. */
const char *tl_call_text(void);

/* As tl_sample, but of the tokens that may follow here. No logit is INT32_MIN. */
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
