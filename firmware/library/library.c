#include "library.h"

#include <stddef.h>
#include <string.h>

#include "answer.h"
#include "calls.h"
#include "chat_template.h"
#include "parallel.h"
#include "port.h"
#if TL_CORES > 1
#include "second_core.h"
#endif
#include "settings.h"
#include "utf8.h"

static struct tinyllm_conversation *current; /* NULL: a conversation that tinyllm_use did not choose */
static tinyllm_piece reader;
static const char *wrong = "";
static bool begun;
static bool reading;  /* the conversation that tinyllm_use chose is being prefilled */
static bool stepping; /* a reader or a handler is running */

/* --- The port that the engine needs: empty, because the sketch itself owns the clock, the LED and the pins --- */

uint64_t tl_port_micros(void) {
    return 0;
}

void tl_port_thinking(bool thinking) {
    (void)thinking;
}

void tl_port_actions(void) {}

/* --- Answers --- */

static bool fails(const char *why) {
    wrong = why;
    return false;
}

static bool succeeds(enum tl_error error) {
    wrong = tl_error_text(error);
    return error == TL_OK;
}

bool tinyllm_begin(void) {
#if TL_CORES > 1
    if (!begun) {
        tl_second_core_start();
    }
#endif
    tl_session_start();
    tl_settings_start();
#if TL_ACTIONS
    tl_actions_start();
#endif
    current = NULL;
    reading = false;
    begun = true;
    return succeeds(tl_session_weights() == TL_WEIGHTS_INTACT ? TL_OK : TL_ERROR_MODEL);
}

static bool may_begin(void) {
    if (!begun) {
        return fails("begin comes first");
    }
    return succeeds(tl_session_active() ? TL_ERROR_BUSY : TL_OK);
}

static bool start(const char *text, tinyllm_piece piece, bool as_turn) {
    if (!may_begin()) {
        return false;
    }
    const size_t n_bytes = strlen(text);
    if (n_bytes > TL_TEXT_MAX) {
        return succeeds(TL_ERROR_TOO_LONG);
    }
    const uint32_t most = tl_session_settings()->max_tokens, max_tokens = most == 0 ? TL_UNTIL_STOP : most;
    const uint8_t *const bytes = (const uint8_t *)text;
    reader = piece;
    return succeeds(as_turn ? tl_answer_chat(bytes, (uint32_t)n_bytes, max_tokens)
                            : tl_answer_text(bytes, (uint32_t)n_bytes, max_tokens));
}

bool tinyllm_start(const char *text, tinyllm_piece piece) {
    return start(text, piece, TL_CHAT);
}

bool tinyllm_start_completing(const char *text, tinyllm_piece piece) {
    return start(text, piece, false);
}

static void finish(void) {
    while (tinyllm_step()) {
    }
}

/* If tinyllm_use chose a conversation that is not prefilled yet, that is done first. */
static bool answer(const char *text, tinyllm_piece piece, bool as_turn) {
    if (reading) {
        finish();
    }
    if (!start(text, piece, as_turn)) {
        return false;
    }
    finish();
    return true;
}

bool tinyllm_ask(const char *text, tinyllm_piece piece) {
    return answer(text, piece, TL_CHAT);
}

bool tinyllm_complete(const char *text, tinyllm_piece piece) {
    return answer(text, piece, false);
}

/* Gives n bytes, whole characters, to the reader. Zero bytes are left out because they would end the C string. */
static void hand_over(const uint8_t *bytes, uint32_t n) {
    char piece[TL_UTF8_ROOM(TL_ANSWER_CHUNK) + 1u];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (bytes[i] != 0) {
            piece[kept++] = (char)bytes[i];
        }
    }
    piece[kept] = '\0';
    if (kept > 0 && reader != NULL && !reading) {
        reader(piece);
    }
}

static void tell(const struct tl_event *event) {
    if (event->kind == TL_EVENT_TOKEN || event->kind == TL_EVENT_DONE) {
        tl_answer_put_text(event, hand_over);
    }
#if TL_ACTIONS
    if (event->kind == TL_EVENT_CALL) {
        const char *const result = tl_action_run(tl_call_text());
        const char *const said = result != NULL ? result : "error: no handler";
        (void)tl_session_result((const uint8_t *)said, (uint32_t)strlen(said));
    }
#endif
}

bool tinyllm_step(void) {
    struct tl_event event;
    if (stepping || !tl_answer_step(&event)) {
        return false;
    }
    stepping = true;
    tell(&event);
    stepping = false;
    if (event.kind != TL_EVENT_DONE) {
        return true;
    }
    if (reading) {
        reading = false;
        *tl_session_random() = current->random;
    }
    return false;
}

bool tinyllm_busy(void) {
    return tl_session_active();
}

void tinyllm_stop(void) {
    if (!reading) {
        tl_session_cancel();
    }
}

void tinyllm_forget(void) {
    reading = false;
    tl_session_reset();
}

const char *tinyllm_error(void) {
    return wrong;
}

enum tl_reason tinyllm_reason(void) {
    return tl_session_answer()->reason;
}

bool tinyllm_set(enum tl_setting_number setting, uint32_t value) {
    if (!begun) {
        return fails("begin comes first");
    }
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        if (tl_setting_table[i].number == (uint8_t)setting) {
            return succeeds(tl_setting_set(&tl_setting_table[i], value) ? TL_OK : TL_ERROR_BAD_VALUE);
        }
    }
    return succeeds(TL_ERROR_BAD_VALUE);
}

/* --- Conversations by turn --- */

bool tinyllm_use(struct tinyllm_conversation *conversation) {
    if (!may_begin() || conversation == current) {
        return *wrong == '\0';
    }
    if (current != NULL) {
        current->n = tl_session_tokens(current->tokens);
        current->random = *tl_session_random();
    }
    current = conversation;
    reading = conversation->n > 0;
    return succeeds(tl_session_resume(conversation->tokens, conversation->n));
}
