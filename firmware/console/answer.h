/* An answer as both voices give it: begun, advanced a step at a time, timed, and turned into text. */
#ifndef TL_ANSWER_H
#define TL_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As tl_session_prompt_text, tl_session_prompt_chat and tl_session_prompt_tokens. */
enum tl_error tl_answer_text(const uint8_t *text, uint32_t n_bytes, uint32_t max_tokens);
enum tl_error tl_answer_chat(const uint8_t *text, uint32_t n_bytes, uint32_t max_tokens);
enum tl_error tl_answer_tokens(const uint8_t *ids, uint32_t count, uint32_t max_tokens);

/* As tl_session_step, with the clock running. */
bool tl_answer_step(struct tl_event *event);

/* Bytes of a token that become text at a time: `put` gets TL_UTF8_ROOM(TL_ANSWER_CHUNK) bytes at most. */
#define TL_ANSWER_CHUNK 16u

/* Gives `put` the whole characters that a token completes, none within a call; those of TL_EVENT_DONE are what was left
   over. */
void tl_answer_put_text(const struct tl_event *event, void (*put)(const uint8_t *bytes, uint32_t n));

/* Microseconds that the last answer's steps took; at most UINT32_MAX. */
uint32_t tl_answer_prefill_us(void);
uint32_t tl_answer_decode_us(void);

/* What an error means, for people. */
const char *tl_error_text(enum tl_error error);

#ifdef __cplusplus
}
#endif

#endif
