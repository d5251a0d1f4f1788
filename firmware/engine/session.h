/* The conversation: one sequence of tokens, those of prompts and those the model generates (docs/protocol.md). */
#ifndef TL_SESSION_H
#define TL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "call_tables.h"
#include "model.h"
#include "sampler.h"
#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbered as on the wire. */
enum tl_error {
    TL_OK = 0,
    TL_ERROR_CORRUPT = 1,
    TL_ERROR_BAD_REQUEST = 2,
    TL_ERROR_VERSION = 3,
    TL_ERROR_BUSY = 4,
    TL_ERROR_BAD_VALUE = 5,
    TL_ERROR_TOO_LONG = 6,
    TL_ERROR_NO_LOGITS = 7,
    TL_ERROR_MODEL = 8
};

/* Why an answer ended, numbered as on the wire. */
enum tl_reason {
    TL_REASON_NONE = 0,
    TL_REASON_STOP = 1,
    TL_REASON_LENGTH = 2,
    TL_REASON_CANCELLED = 3,
    TL_REASON_CONTEXT = 4
};

enum tl_overflow { TL_OVERFLOW_SLIDE = 0, TL_OVERFLOW_STOP = 1 };

#define TL_UNTIL_STOP UINT32_MAX

struct tl_settings {
    struct tl_sampler_settings sampler;
    uint32_t seed;
    uint32_t max_tokens; /* for the text voice (text_voice.h); 0: until the model stops */
    uint32_t overflow;   /* enum tl_overflow */
};

/* The answer under way, or the last one. */
struct tl_answer {
    enum tl_reason reason;  /* TL_REASON_NONE while it is under way */
    uint32_t prompt_length; /* tokens to prefill: of the prompt, or of the result of a call that came last */
    uint32_t prompt_tokens; /* how many of these are prefilled; at the end, of the prompt and all results */
    uint32_t tokens;        /* generated, the one that ended the answer included */
    uint32_t digest;        /* CRC-32 of the generated tokens */
};

/* TL_EVENT_CALL: the model has completed a call; it waits for tl_session_result. */
enum tl_event_kind { TL_EVENT_PROGRESS, TL_EVENT_TOKEN, TL_EVENT_CALL, TL_EVENT_DONE };

struct tl_event {
    enum tl_event_kind kind;
    uint32_t token; /* of TL_EVENT_TOKEN */
};

/* Checks the weights and the kernels, and resets. All settings are 0 until the console sets them. */
void tl_session_start(void);

/* Forgets the conversation and the answer under way, and seeds the random numbers again. */
void tl_session_reset(void);

/* Seeds the random numbers again, with the seed in the settings. */
void tl_session_reseed(void);

/* Begin an answer to a prompt: a text of n_bytes, any bytes; the same as a turn of a chat (TL_ERROR_BAD_REQUEST without
   a chat template); or `count` token ids, u32 little-endian each. max_tokens 0 only prefills, TL_UNTIL_STOP sets no
   limit. No answer may be under way. A text over TL_TEXT_MAX bytes, or more than TL_CONTEXT ids, gives
   TL_ERROR_TOO_LONG and is not read. An error changes nothing. */
enum tl_error tl_session_prompt_text(const uint8_t *text, uint32_t n_bytes, uint32_t max_tokens);
enum tl_error tl_session_prompt_chat(const uint8_t *text, uint32_t n_bytes, uint32_t max_tokens);
enum tl_error tl_session_prompt_tokens(const uint8_t *ids, uint32_t count, uint32_t max_tokens);

/* Copies the conversation's tokens after the prefix, the last sampled one included, to tokens (TL_CONTEXT,). Returns
   how many. Past the context it copies the beginning of the conversation and the newest tokens in the context. */
uint32_t tl_session_tokens(tl_token_t *tokens);

/* Forgets the conversation and prefills another one from n <= TL_CONTEXT tokens of tl_session_tokens. If that one was
   not past the context, it goes on as if it had never been left. No answer may be under way. */
enum tl_error tl_session_resume(const tl_token_t *tokens, uint32_t n);

/* Does at most one forward pass, of a token or of a batch of the prompt, and sets `event` to its outcome. Returns false
 * if no answer is under way, or if it waits for the result of a call. */
bool tl_session_step(struct tl_event *event);

#if TL_ACTIONS
/* Gives the model the result of the call, any bytes, of which it reads TL_RESULT_MAX at most, and lets it go on. false
   if no call waits for a result. If there is no room for the result, the answer ends. */
bool tl_session_result(const uint8_t *text, uint32_t n_bytes);

/* Whether TL_EVENT_CALL was returned and the call's result has not come yet. */
bool tl_session_awaits_result(void);

/* How many bytes of a result the model reads: whole characters, TL_RESULT_MAX at most. */
uint32_t tl_session_result_length(const uint8_t *text, uint32_t n_bytes);

/* The tokens of a prompt or result that are not prefilled yet, and their number. */
const tl_token_t *tl_session_waiting(uint32_t *n);
#endif

/* Ends the answer under way: the next step is TL_EVENT_DONE. */
void tl_session_cancel(void);

bool tl_session_active(void);
bool tl_session_prefilling(void);
enum tl_weights tl_session_weights(void); /* state at the start; unless intact, every prompt is refused */
bool tl_session_kernels_agree(void);      /* what tl_kernels_start returned */
struct tl_settings *tl_session_settings(void);
struct tl_random *tl_session_random(void); /* the state of the random numbers */
const struct tl_answer *tl_session_answer(void);

/* The conversation's tokens that are in the context, the last sampled one included. */
uint32_t tl_session_context_used(void);

/* CRC-32 of every token since the last reset. */
uint32_t tl_session_digest(void);

/* The logits (TL_VOCAB_SIZE,) Q16.16 of the last prefilled position; NULL once a token was sampled from them. */
const int32_t *tl_session_logits(void);

#ifdef __cplusplus
}
#endif

#endif
