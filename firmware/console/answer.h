/* The answers of both voices: begins one, advances it step by step, measures its time, and turns it into text. */
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

/* As tl_session_step; measures the time it takes. */
bool tl_answer_step(struct tl_event *event);

/* Bytes of a token's text that are handled at a time: `put` gets at most TL_UTF8_ROOM(TL_ANSWER_CHUNK) bytes. */
#define TL_ANSWER_CHUNK 16u

/* Gives `put` the whole characters that a token completes; none within a call. At TL_EVENT_DONE it gives what the last
   unfinished character becomes. */
void tl_answer_put_text(const struct tl_event *event, void (*put)(const uint8_t *bytes, uint32_t n));

/* Microseconds that the steps of the last answer took, prefill and decode; at most UINT32_MAX. */
uint32_t tl_answer_prefill_us(void);
uint32_t tl_answer_decode_us(void);

/* The meaning of an error, for people. */
const char *tl_error_text(enum tl_error error);

#ifdef __cplusplus
}
#endif

#endif
