#include "program_voice.h"

#include <stdbool.h>
#include <string.h>

#include "actions.h"
#include "answer.h"
#include "call_tables.h"
#include "calls.h"
#include "chat_template.h"
#include "identity.h"
#include "port.h"
#include "settings.h"

enum reply {
    REPLY_HELLO = 0x81,
    REPLY_OK = 0x82,
    REPLY_TOKEN = 0x83,
    REPLY_DONE = 0x84,
    REPLY_ERROR = 0x85,
    REPLY_LOGITS = 0x86,
    REPLY_MEMORY = 0x87,
    REPLY_SETTINGS = 0x88,
    REPLY_PROGRESS = 0x89,
    REPLY_CALL = 0x8A,
    REPLY_RESULT = 0x8B
};

enum prompt_kind { KIND_TEXT = 0, KIND_TOKENS = 1, KIND_CHAT = 2 };
#define ASKS_FIRST 0x80u /* flag in the byte of the kind: the board carries out no call before it asked the program */

/* The state of the board's handler that a CALL reports. */
enum handler_state { NO_HANDLER = 0, CARRIED_OUT = 1, ASKED_FIRST = 2 };

#define MAX_LOGITS 60u
#define PROGRESS_INTERVAL 16u
#define TEXT_LINE "/text"

static uint8_t answer_sequence; /* sequence of the PROMPT whose answer is under way */
static bool asks_first;         /* ASKS_FIRST of that PROMPT */
static uint8_t obeyed;          /* sequence of the last GIVE_RESULT or CARRY_OUT obeyed in this answer, 0: none */
static uint32_t corrupt_frames;

/* --- Replies --- */

static uint32_t read_u32(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put_text(const char *text) {
    tl_frame_put((const uint8_t *)text, (uint32_t)strlen(text));
}

static void put_string(const char *text) {
    tl_frame_put_u8((uint8_t)strlen(text));
    put_text(text);
}

static void reply_ok(const struct tl_frame *request) {
    tl_frame_begin(REPLY_OK, request->sequence);
    tl_frame_put_u8(request->type);
    tl_frame_end();
}

static void reply_error(enum tl_error error, uint8_t type, uint8_t sequence, const char *message) {
    tl_frame_begin(REPLY_ERROR, sequence);
    tl_frame_put_u8((uint8_t)error);
    tl_frame_put_u8(type);
    put_text(message);
    tl_frame_end();
}

static void refuse(const struct tl_frame *request, enum tl_error error) {
    reply_error(error, request->type, request->sequence, tl_error_text(error));
}

/* --- Requests --- */

void tl_program_hello(const struct tl_frame *request) {
    static const uint8_t build_id[8] = TL_BUILD_ID_BYTES;
    static const uint8_t layout[8] = TL_WEIGHTS_LAYOUT_BYTES;
    tl_frame_begin(REPLY_HELLO, request->sequence);
    tl_frame_put_u8(TL_PROTOCOL_VERSION);
    tl_frame_put_u32(TL_CONTEXT);
    tl_frame_put_u32(TL_VOCAB_SIZE);
    tl_frame_put_u32(TL_TEXT_MAX);
    tl_frame_put_u32(tl_session_context_used());
    tl_frame_put_u32(tl_session_digest());
    tl_frame_put_u32(corrupt_frames);
    tl_frame_put(TL_MODEL_HASH, 8);
    tl_frame_put(build_id, sizeof build_id);
    put_string(TL_MODEL_NAME);
    put_string(TL_BOARD_NAME);
    put_string(TL_VERSION);
    tl_frame_put_u8(TL_CHAT);
    put_string(TL_KERNEL_SET);
    tl_frame_put_u8(tl_session_kernels_agree());
    tl_frame_put_u8((uint8_t)tl_session_weights());
    tl_frame_put(layout, sizeof layout);
    tl_frame_end();
}

/* The version is checked before the size, because a later version may have a longer body. */
bool tl_program_serves(const struct tl_frame *request) {
    if (request->n_body >= 1 && request->body[0] != TL_PROTOCOL_VERSION) {
        const char served[2] = {(char)('0' + TL_PROTOCOL_VERSION), '\0'};
        reply_error(TL_ERROR_VERSION, request->type, request->sequence, served);
        return false;
    }
    if (request->n_body != 1) {
        refuse(request, TL_ERROR_BAD_REQUEST);
        return false;
    }
    return true;
}

/* Begins the answer to a PROMPT. Content that the receive buffer does not hold whole is too long for the session, which
   checks the size before it reads it. */
static enum tl_error prompt(const struct tl_frame *request) {
    const uint8_t *const content = request->body + TL_PROMPT_HEADER;
    const uint32_t n_content = request->n_body - TL_PROMPT_HEADER;
    const uint32_t max_tokens = read_u32(request->body);
    const uint8_t kind = request->body[4] & (uint8_t)~ASKS_FIRST;
    switch (kind) {
    case KIND_TEXT:
        return tl_answer_text(content, n_content, max_tokens);
    case KIND_CHAT:
        return tl_answer_chat(content, n_content, max_tokens);
    case KIND_TOKENS:
        return n_content % 4u == 0 ? tl_answer_tokens(content, n_content / 4u, max_tokens) : TL_ERROR_BAD_REQUEST;
    default:
        return TL_ERROR_BAD_REQUEST;
    }
}

static enum tl_error set(const struct tl_frame *request) {
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        if (tl_setting_table[i].number == request->body[0]) {
            return tl_setting_set(&tl_setting_table[i], read_u32(request->body + 1)) ? TL_OK : TL_ERROR_BAD_VALUE;
        }
    }
    return TL_ERROR_BAD_VALUE;
}

static void get(const struct tl_frame *request) {
    tl_frame_begin(REPLY_SETTINGS, request->sequence);
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        tl_frame_put_u8(tl_setting_table[i].number);
        tl_frame_put_u32(tl_setting_get(&tl_setting_table[i]));
    }
    tl_frame_end();
}

static enum tl_error logits(const struct tl_frame *request) {
    const int32_t *const values = tl_session_logits();
    const uint32_t first = read_u32(request->body);
    const uint32_t count = request->body[4] | (uint32_t)request->body[5] << 8;
    if (values == NULL) {
        return TL_ERROR_NO_LOGITS;
    }
    if (count == 0 || count > MAX_LOGITS || first >= TL_VOCAB_SIZE || count > TL_VOCAB_SIZE - first) {
        return TL_ERROR_BAD_VALUE;
    }
    tl_frame_begin(REPLY_LOGITS, request->sequence);
    tl_frame_put_u32(first);
    for (uint32_t i = 0; i < count; i++) {
        tl_frame_put_u32((uint32_t)values[first + i]);
    }
    tl_frame_end();
    return TL_OK;
}

static void put_entry(const char *name, uint32_t bytes) {
    put_string(name);
    tl_frame_put_u32(bytes);
}

static void memory(const struct tl_frame *request) {
    uint32_t used, size;
    tl_frame_begin(REPLY_MEMORY, request->sequence);
    for (uint32_t i = 0; i < tl_memory_entries; i++) {
        put_entry(tl_memory[i].name, tl_memory[i].bytes);
    }
    if (tl_port_stack(&used, &size)) {
        put_entry("stack.size", size);
        put_entry("stack.used", used);
    }
    tl_frame_end();
}

/* Gives the model the result of its call, and sends a RESULT with what the model reads. false: no call waits. */
static bool give_result(const uint8_t *text, uint32_t n_bytes) {
#if TL_ACTIONS
    if (!tl_session_result(text, n_bytes)) {
        return false;
    }
    uint32_t n;
    const tl_token_t *const tokens = tl_session_waiting(&n);
    tl_frame_begin(REPLY_RESULT, answer_sequence);
    tl_frame_put_u8((uint8_t)n);
    tl_frame_put_u8((uint8_t)(n >> 8));
    for (uint32_t i = 0; i < n; i++) {
        tl_frame_put_u32(tokens[i]);
    }
    tl_frame_put(text, tl_session_result_length(text, n_bytes));
    tl_frame_end();
    return true;
#else
    (void)text, (void)n_bytes;
    return false;
#endif
}

/* Carries out the call that waits for a result. false: no call waits, or it has no handler. */
static bool carry_out_waiting(void) {
#if TL_ACTIONS
    const char *const result = tl_session_awaits_result() ? tl_action_run(tl_call_text()) : NULL;
    return result != NULL && give_result((const uint8_t *)result, (uint32_t)strlen(result));
#else
    return false;
#endif
}

#if TL_ACTIONS
static enum handler_state answered; /* the state that the last CALL reported */

static void tell_call(const char *call) {
    tl_frame_begin(REPLY_CALL, answer_sequence);
    tl_frame_put_u8((uint8_t)answered);
    put_text(call);
    tl_frame_end();
}
#endif

/* Sends the CALL of a call that still waits again: it may have been lost, if a program that should answer it sends
   another request. */
static void remind_of_call(void) {
#if TL_ACTIONS
    if (tl_session_awaits_result()) {
        tell_call(tl_call_text());
    }
#endif
}

static bool is_size_right(const struct tl_frame *request) {
    switch (request->type) {
    case TL_PROMPT:
        return request->n_body >= TL_PROMPT_HEADER;
    case TL_SET:
        return request->n_body == 5;
    case TL_LOGITS:
        return request->n_body == 6;
    case TL_GIVE_RESULT:
        return true;
    default:
        return request->n_body == 0;
    }
}

static bool needs_rest(uint8_t type) {
    return type == TL_PROMPT || type == TL_SET || type == TL_LOGITS;
}

static enum tl_wish serve(const struct tl_frame *request) {
    enum tl_error error = TL_OK;
    if (request->type == TL_HELLO) {
        if (tl_program_serves(request)) {
            tl_program_hello(request);
        }
        return TL_STAY;
    }
    if (!tl_is_request(request->type) || !is_size_right(request)) {
        refuse(request, TL_ERROR_BAD_REQUEST);
        return TL_STAY;
    }
    if (tl_session_active() && needs_rest(request->type)) {
        refuse(request, TL_ERROR_BUSY);
        remind_of_call();
        return TL_STAY;
    }
    switch (request->type) {
    case TL_PROMPT:
        error = prompt(request);
        answer_sequence = request->sequence;
        asks_first = (request->body[4] & ASKS_FIRST) != 0;
        obeyed = 0;
        break;
    case TL_CANCEL:
    case TL_RESET:
        return TL_STOP_ANSWER;
    case TL_SET:
        error = set(request);
        if (error == TL_OK) {
            reply_ok(request);
        }
        break;
    case TL_GET:
        get(request);
        break;
    case TL_LOGITS:
        error = logits(request);
        break;
    case TL_MEMORY:
        memory(request);
        break;
    case TL_GIVE_RESULT:
    case TL_CARRY_OUT:
        /* A request that the host repeats because the RESULT was lost is not for a call that waits by now. */
        if (request->sequence == obeyed ||
            (request->type == TL_CARRY_OUT ? carry_out_waiting() : give_result(request->body, request->n_body))) {
            obeyed = request->sequence;
            reply_ok(request);
        } else {
            error = TL_ERROR_BAD_REQUEST;
        }
        break;
    default:
        return TL_TO_TEXT;
    }
    if (error != TL_OK) {
        refuse(request, error);
    }
    return TL_STAY;
}

void tl_program_stopped(const struct tl_frame *request) {
    if (request->type == TL_RESET) {
        tl_session_reset();
    }
    reply_ok(request);
}

/* --- The line "/text", with which a person switches back to the text voice --- */

static uint32_t matched; /* characters of TEXT_LINE that the line under way matches so far */
#define NO_MATCH UINT32_MAX

/* Whether `byte` ends the line "/text". Bytes that may belong to a request do not count as a line. */
static bool takes_back(uint8_t byte) {
    const bool request = tl_is_request(tl_frame_type()) && tl_frame_length() <= TL_RECEIVE_MAX;
    const bool line_end = byte == '\r' || byte == '\n';
    const bool whole = matched == sizeof TEXT_LINE - 1u;
    if (byte == 0 || line_end) {
        matched = 0;
    } else if (matched < sizeof TEXT_LINE - 1u && byte == (uint8_t)TEXT_LINE[matched]) {
        matched++;
    } else {
        matched = NO_MATCH;
    }
    return whole && line_end && !request;
}

enum tl_wish tl_program_receive(uint8_t byte, struct tl_frame *request) {
    if (takes_back(byte)) {
        tl_frame_drop();
        return TL_TO_PERSON;
    }
    switch (tl_frame_take(byte, request)) {
    case TL_FRAME_OPEN:
        break;
    case TL_FRAME_GOOD:
        return serve(request);
    case TL_FRAME_CORRUPT:
        corrupt_frames++;
        reply_error(TL_ERROR_CORRUPT, 0, 0, tl_error_text(TL_ERROR_CORRUPT));
        break;
    }
    return TL_STAY;
}

/* --- Events --- */

static void done(const struct tl_event *event) {
    const struct tl_answer *const answer = tl_session_answer();
    tl_frame_begin(REPLY_DONE, answer_sequence);
    tl_frame_put_u8((uint8_t)answer->reason);
    tl_frame_put_u32(answer->prompt_tokens);
    tl_frame_put_u32(answer->tokens);
    tl_frame_put_u32(tl_answer_prefill_us());
    tl_frame_put_u32(tl_answer_decode_us());
    tl_frame_put_u32(answer->digest);
    tl_frame_put_u32(tl_session_context_used());
    tl_frame_put_u32(tl_session_digest());
    tl_answer_put_text(event, tl_frame_put);
    tl_frame_end();
}

static void token(const struct tl_event *event) {
    tl_frame_begin(REPLY_TOKEN, answer_sequence);
    tl_frame_put_u32(tl_session_answer()->tokens - 1u);
    tl_frame_put_u32(event->token);
    tl_answer_put_text(event, tl_frame_put);
    tl_frame_end();
}

static void progress(void) {
    const struct tl_answer *const answer = tl_session_answer();
    if (answer->tokens == 0 && answer->prompt_tokens > 0 && answer->prompt_tokens % PROGRESS_INTERVAL == 0) {
        tl_frame_begin(REPLY_PROGRESS, answer_sequence);
        tl_frame_put_u32(answer->prompt_tokens);
        tl_frame_put_u32(answer->prompt_length);
        tl_frame_end();
    }
}

#if TL_ACTIONS
void tl_program_call(const char *call) {
    const bool waits = asks_first && tl_action_known(call);
    const char *const result = waits ? NULL : tl_action_run(call);
    answered = waits ? ASKED_FIRST : result != NULL ? CARRIED_OUT : NO_HANDLER;
    tell_call(call);
    if (result != NULL) {
        (void)give_result((const uint8_t *)result, (uint32_t)strlen(result));
    }
}
#endif

void tl_program_event(const struct tl_event *event) {
    switch (event->kind) {
    case TL_EVENT_PROGRESS:
        progress();
        break;
    case TL_EVENT_TOKEN:
        token(event);
        break;
    case TL_EVENT_CALL: /* tl_program_call reports it */
        break;
    case TL_EVENT_DONE:
        done(event);
        break;
    }
}
