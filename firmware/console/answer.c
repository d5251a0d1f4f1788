#include "answer.h"

#include <stddef.h>

#include "calls.h"
#include "pieces.h"
#include "port.h"
#include "utf8.h"

static struct tl_utf8 gate;
static uint64_t prefill_us, decode_us;

static enum tl_error begin(enum tl_error error) {
    if (error == TL_OK) {
        gate = (struct tl_utf8){{0}, 0};
        prefill_us = decode_us = 0;
        tl_port_thinking(true);
    }
    return error;
}

enum tl_error tl_answer_text(const uint8_t *text, uint32_t n_bytes, uint32_t max_tokens) {
    return begin(tl_session_prompt_text(text, n_bytes, max_tokens));
}

enum tl_error tl_answer_chat(const uint8_t *text, uint32_t n_bytes, uint32_t max_tokens) {
    return begin(tl_session_prompt_chat(text, n_bytes, max_tokens));
}

enum tl_error tl_answer_tokens(const uint8_t *ids, uint32_t count, uint32_t max_tokens) {
    return begin(tl_session_prompt_tokens(ids, count, max_tokens));
}

bool tl_answer_step(struct tl_event *event) {
    const uint64_t start = tl_port_micros();
    if (!tl_session_step(event)) {
        return false;
    }
    const uint64_t took = tl_port_micros() - start;
    if (event->kind == TL_EVENT_PROGRESS) {
        prefill_us += took;
    } else if (event->kind == TL_EVENT_TOKEN) {
        decode_us += took;
    } else if (event->kind == TL_EVENT_DONE) {
        tl_port_thinking(false);
    }
    return true;
}

void tl_answer_put_text(const struct tl_event *event, void (*put)(const uint8_t *bytes, uint32_t n)) {
    uint8_t whole[TL_UTF8_ROOM(TL_ANSWER_CHUNK)];
    if (event->kind == TL_EVENT_DONE) {
        put(whole, tl_utf8_finish(&gate, whole));
        return;
    }
    const uint8_t *bytes = NULL;
    uint32_t n = tl_is_stop(event->token) || tl_call_is_open() ? 0 : tl_piece_text(event->token, &bytes);
    while (n > 0) {
        const uint32_t some = n < TL_ANSWER_CHUNK ? n : TL_ANSWER_CHUNK;
        put(whole, tl_utf8_pass(&gate, bytes, some, whole));
        bytes += some;
        n -= some;
    }
}

static uint32_t saturate(uint64_t value) {
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

uint32_t tl_answer_prefill_us(void) {
    return saturate(prefill_us);
}

uint32_t tl_answer_decode_us(void) {
    return saturate(decode_us);
}

/* Says what is wrong with the weights. */
static const char *weights_text(void) {
    switch (tl_session_weights()) {
    case TL_WEIGHTS_MISSING:
        return "there are no weights beside the program, flash the board";
    case TL_WEIGHTS_TRUNCATED:
        return "the weights end too early, flash the board again";
    case TL_WEIGHTS_FOREIGN:
        return "the weights are of another model or build than the program, flash the board with both";
    case TL_WEIGHTS_DAMAGED:
    case TL_WEIGHTS_INTACT:
        break;
    }
    return "the weights failed their CRC, flash the board again";
}

const char *tl_error_text(enum tl_error error) {
    switch (error) {
    case TL_ERROR_CORRUPT:
        return "a frame failed its check";
    case TL_ERROR_BAD_REQUEST:
        return "unknown request, wrong size, or nothing to go on from";
    case TL_ERROR_BUSY:
        return "an answer is under way";
    case TL_ERROR_BAD_VALUE:
        return "unknown or out of range";
    case TL_ERROR_TOO_LONG:
        return "the prompt is too long for this board, or for what the context has left with overflow stop";
    case TL_ERROR_NO_LOGITS:
        return "no logits: prefill with max_tokens 0 first";
    case TL_ERROR_MODEL:
        return weights_text();
    case TL_OK:
    case TL_ERROR_VERSION:
        break;
    }
    return "";
}
