#include "session.h"

#include <string.h>

#include "calls.h"
#include "chat.h"
#include "crc32.h"
#include "model.h"
#include "tokenizer.h"

static struct {
    tl_token_t history[TL_CONTEXT]; /* the tokens in the context, each where a cache of TL_CONTEXT slots keeps it */
    tl_token_t prompt[TL_CONTEXT];
    uint32_t position;  /* tokens forwarded since the reset */
    tl_token_t pending; /* the token that was sampled but not forwarded yet; TL_NO_TOKEN: none */
    bool has_logits;
    bool active;
    bool prefilling;
    enum { NO_CALL, CALL_ENDED, CALL_TOLD } call; /* CALL_TOLD: TL_EVENT_CALL was returned, no result yet */
    uint32_t read_before;                         /* prefilled tokens of this answer before the result under way */
    enum tl_weights weights;
    bool kernels_agree;
    uint32_t max_tokens;
    uint32_t digest;
    struct tl_answer answer;
    struct tl_settings settings;
    struct tl_random random;
} session;

static enum tl_weights check_weights(void) {
    if (tl_weights_intact()) {
        return TL_WEIGHTS_INTACT;
    }
#if defined(TL_WEIGHTS_APART)
    return tl_weights_state();
#else
    return TL_WEIGHTS_DAMAGED;
#endif
}

void tl_session_start(void) {
    session.weights = check_weights();
    session.kernels_agree = tl_kernels_start();
    tl_session_reset();
}

static void begin_conversation(void) {
    tl_begin();
#if TL_PREFIX_TOKENS > 0
    for (; session.position < TL_PREFIX_TOKENS; session.position++) {
        session.history[session.position] = (tl_token_t)tl_prefix_token(session.position);
    }
#endif
}

void tl_session_reset(void) {
    session.position = 0;
    if (session.weights == TL_WEIGHTS_INTACT) {
        begin_conversation();
    }
    session.pending = TL_NO_TOKEN;
    session.has_logits = false;
    session.active = false;
    tl_call_leave();
    session.digest = 0;
    tl_session_reseed();
}

void tl_session_reseed(void) {
    tl_random_seed(&session.random, session.settings.seed);
}

static uint32_t digest_token(uint32_t digest, uint32_t token) {
    const uint8_t bytes[4] = {(uint8_t)token, (uint8_t)(token >> 8), (uint8_t)(token >> 16), (uint8_t)(token >> 24)};
    return tl_crc32(digest, bytes, sizeof bytes);
}

static uint32_t at_most(uint32_t value, uint32_t limit) {
    return value < limit ? value : limit;
}

/* Tokens that may still be forwarded. */
static uint32_t room(void) {
    const uint32_t limit = session.settings.overflow == TL_OVERFLOW_STOP ? TL_CONTEXT : UINT32_MAX;
    return limit - at_most(session.position, limit);
}

/* Adds n tokens, just forwarded, to the history, and advances the position past them. */
static void remember(const uint32_t *tokens, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) session.history[tl_slot(session.position++, TL_CONTEXT)] = (tl_token_t)tokens[i];
}

static void forward(uint32_t token) {
    tl_forward(token, session.position);
    remember(&token, 1);
    session.has_logits = true;
}

/* Begins the answer to the `length` tokens in session.prompt. */
static enum tl_error begin(uint32_t length, uint32_t max_tokens) {
    const uint32_t to_forward = length + (session.pending != TL_NO_TOKEN);
    if (to_forward == 0 && !session.has_logits) {
        return TL_ERROR_BAD_REQUEST;
    }
    if (to_forward > room()) {
        return TL_ERROR_TOO_LONG;
    }
    memset(&session.answer, 0, sizeof session.answer);
    session.call = NO_CALL;
    session.read_before = 0;
    session.answer.prompt_length = length;
    session.max_tokens = max_tokens;
    session.active = true;
    session.prefilling = to_forward > 0;
    if (!session.prefilling && max_tokens == 0) {
        session.answer.reason = TL_REASON_LENGTH;
    }
    return TL_OK;
}

/* The same for a text, after which no call is open any more. */
static enum tl_error begin_text(uint32_t length, uint32_t max_tokens) {
    const enum tl_error error = length == TL_ENCODE_TOO_LONG ? TL_ERROR_TOO_LONG : begin(length, max_tokens);
    if (error == TL_OK) {
        tl_call_leave();
    }
    return error;
}

enum tl_error tl_session_prompt_text(const uint8_t *text, uint32_t n_bytes, uint32_t max_tokens) {
    if (session.weights != TL_WEIGHTS_INTACT) {
        return TL_ERROR_MODEL;
    }
    const uint32_t length = tl_encode(text, n_bytes, session.position == 0, session.prompt, TL_CONTEXT);
    return begin_text(length, max_tokens);
}

#if TL_CHAT
/* The last token of a conversation that has begun. */
static uint32_t last_token(void) {
    return session.pending != TL_NO_TOKEN ? session.pending
                                          : session.history[tl_slot(session.position - 1u, TL_CONTEXT)];
}
#endif

enum tl_error tl_session_prompt_chat(const uint8_t *text, uint32_t n_bytes, uint32_t max_tokens) {
#if TL_CHAT
    if (session.weights != TL_WEIGHTS_INTACT) {
        return TL_ERROR_MODEL;
    }
    const bool first = session.position == TL_PREFIX_TOKENS;
    const uint32_t length =
        tl_chat_turn(text, n_bytes, first, first ? TL_NO_TOKEN : last_token(), session.prompt, TL_CONTEXT);
    return begin_text(length, max_tokens);
#else
    (void)text, (void)n_bytes, (void)max_tokens;
    return TL_ERROR_BAD_REQUEST;
#endif
}

enum tl_error tl_session_prompt_tokens(const uint8_t *ids, uint32_t count, uint32_t max_tokens) {
    if (session.weights != TL_WEIGHTS_INTACT) {
        return TL_ERROR_MODEL;
    }
    if (count > TL_CONTEXT) {
        return TL_ERROR_TOO_LONG;
    }
    for (uint32_t i = 0; i < count; i++, ids += 4) {
        const uint32_t id = ids[0] | (uint32_t)ids[1] << 8 | (uint32_t)ids[2] << 16 | (uint32_t)ids[3] << 24;
        if (id >= TL_VOCAB_SIZE) {
            return TL_ERROR_BAD_VALUE;
        }
        session.prompt[i] = (tl_token_t)id;
    }
    return begin(count, max_tokens);
}

uint32_t tl_session_tokens(tl_token_t *tokens) {
    const uint32_t seen = session.position + (session.pending != TL_NO_TOKEN), kept = at_most(seen, TL_CONTEXT);
    const uint32_t first = TL_PREFIX_TOKENS > TL_SINKS ? TL_PREFIX_TOKENS : TL_SINKS;
    uint32_t n = 0;
    for (uint32_t i = TL_PREFIX_TOKENS; i < kept; i++) {
        const uint32_t position = i < first ? i : seen - kept + i;
        tokens[n++] = position < session.position ? session.history[tl_slot(position, TL_CONTEXT)] : session.pending;
    }
    return n;
}

enum tl_error tl_session_resume(const tl_token_t *tokens, uint32_t n) {
    tl_session_reset();
    if (session.weights != TL_WEIGHTS_INTACT) {
        return TL_ERROR_MODEL;
    }
    memcpy(session.prompt, tokens, n * sizeof *tokens);
    return n == 0 ? TL_OK : begin(n, 0);
}

/* Tokens that are still to prefill: of the prompt, and the one that ended the last answer. */
static uint32_t waiting(void) {
    return session.answer.prompt_length - session.answer.prompt_tokens + (session.pending != TL_NO_TOKEN);
}

/* The next token to prefill. The one that ended the last answer goes first, because the model has not read it yet. */
static uint32_t next_of_prompt(void) {
    uint32_t token = session.pending;
    if (token == TL_NO_TOKEN) {
        token = session.prompt[session.answer.prompt_tokens++];
        session.digest = digest_token(session.digest, token);
        (void)tl_call_read(token);
    }
    session.pending = TL_NO_TOKEN;
    return token;
}

/* Prefills a batch of the prompt, without logits, or its last token, with logits. */
static void prefill(void) {
    const uint32_t n = at_most(waiting() - 1u, TL_BATCH);
    if (n > 0) {
        uint32_t batch[TL_BATCH];
        for (uint32_t i = 0; i < n; i++) batch[i] = next_of_prompt();
        (void)tl_prefill(batch, n, session.position);
        remember(batch, n);
        session.has_logits = false;
        return;
    }
    forward(next_of_prompt());
    session.prefilling = false;
    if (session.answer.tokens == session.max_tokens) {
        session.answer.reason = TL_REASON_LENGTH;
    }
}

static uint32_t decode_one(void) {
    struct tl_answer *answer = &session.answer;
    if (!session.has_logits) {
        forward(session.pending);
    }
    const uint32_t token = tl_call_sample(tl_logits(), session.history, at_most(session.position, TL_CONTEXT),
                                          &session.settings.sampler, &session.random);
    session.has_logits = false;
    session.pending = (tl_token_t)token;
    session.digest = digest_token(session.digest, token);
    answer->digest = digest_token(answer->digest, token);
    answer->tokens++;
    if (tl_call_read(token)) {
        session.call = CALL_ENDED; /* carried out even if max_tokens is reached */
    } else if (tl_is_stop(token)) {
        answer->reason = TL_REASON_STOP;
    } else if (answer->tokens == session.max_tokens) {
        answer->reason = TL_REASON_LENGTH;
    } else if (room() == 0) {
        answer->reason = TL_REASON_CONTEXT;
    }
    return token;
}

/* Returns TL_EVENT_CALL once; after that, false until the call's result comes. */
static bool tell_call(struct tl_event *event) {
    event->kind = TL_EVENT_CALL;
    const bool told = session.call == CALL_TOLD;
    session.call = CALL_TOLD;
    return !told;
}

#if TL_ACTIONS
uint32_t tl_session_result_length(const uint8_t *text, uint32_t n_bytes) {
    uint32_t n = at_most(n_bytes, TL_RESULT_MAX);
    while (n < n_bytes && n > 0 && (text[n] & 0xC0) == 0x80) n--;
    return n;
}

bool tl_session_awaits_result(void) {
    return session.active && session.call == CALL_TOLD && session.answer.reason == TL_REASON_NONE;
}

bool tl_session_result(const uint8_t *text, uint32_t n_bytes) {
    struct tl_answer *answer = &session.answer;
    if (!tl_session_awaits_result()) {
        return false;
    }
    const uint32_t n_kept = tl_session_result_length(text, n_bytes);
    const uint32_t length = tl_encode_section(text, n_kept, false, session.prompt + 1, TL_CONTEXT - 2u);
    session.call = NO_CALL;
    session.read_before += answer->prompt_tokens;
    answer->prompt_tokens = answer->prompt_length = 0;
    if (length == TL_ENCODE_TOO_LONG || length + 3u > room()) {
        answer->reason = TL_REASON_CONTEXT;
        return true;
    }
    session.prompt[0] = TL_RESULT;
    session.prompt[length + 1u] = TL_END_RESULT;
    answer->prompt_length = length + 2u;
    session.prefilling = true;
    return true;
}

const tl_token_t *tl_session_waiting(uint32_t *n) {
    *n = session.answer.prompt_length - session.answer.prompt_tokens;
    return session.prompt + session.answer.prompt_tokens;
}
#endif

bool tl_session_step(struct tl_event *event) {
    if (!session.active) {
        return false;
    }
    if (session.answer.reason != TL_REASON_NONE) {
        event->kind = TL_EVENT_DONE;
        session.answer.prompt_tokens += session.read_before;
        session.active = false;
    } else if (session.prefilling) {
        event->kind = TL_EVENT_PROGRESS;
        prefill();
    } else if (TL_ACTIONS && session.call != NO_CALL) {
        return tell_call(event);
    } else {
        event->kind = TL_EVENT_TOKEN;
        event->token = decode_one();
    }
    return true;
}

void tl_session_cancel(void) {
    if (session.active && session.answer.reason == TL_REASON_NONE) {
        session.answer.reason = TL_REASON_CANCELLED;
    }
}

bool tl_session_active(void) {
    return session.active;
}

bool tl_session_prefilling(void) {
    return session.prefilling;
}

enum tl_weights tl_session_weights(void) {
    return session.weights;
}

bool tl_session_kernels_agree(void) {
    return session.kernels_agree;
}

struct tl_settings *tl_session_settings(void) {
    return &session.settings;
}

struct tl_random *tl_session_random(void) {
    return &session.random;
}

const struct tl_answer *tl_session_answer(void) {
    return &session.answer;
}

uint32_t tl_session_context_used(void) {
    return at_most(session.position + (session.pending != TL_NO_TOKEN), TL_CONTEXT);
}

uint32_t tl_session_digest(void) {
    return session.digest;
}

const int32_t *tl_session_logits(void) {
    return session.has_logits ? tl_logits() : NULL;
}
