#include "console.h"

#include <string.h>

#include "actions.h"
#include "answer.h"
#include "calls.h"
#include "frames.h"
#include "port.h"
#include "program_voice.h"
#include "session.h"
#include "settings.h"
#include "text_voice.h"
#include "wish.h"

static enum { TEXT, PROGRAM } voice;

void tl_console_start(void) {
    voice = TEXT;
    tl_session_start();
    tl_settings_start();
#if TL_ACTIONS
    tl_actions_start();
#endif
    tl_text_start();
}

#if TL_ACTIONS
/* If a program is connected, it gets each call without a handler, and every call if it asks for that. Otherwise a call
   without a handler gives an error. */
static void carry_out_call(void) {
    const char *const call = tl_call_text();
    if (voice == PROGRAM) {
        tl_program_call(call);
        return;
    }
    const char *result = tl_action_run(call);
    result = result != NULL ? result : "error: no handler";
    tl_text_call(call, result);
    (void)tl_session_result((const uint8_t *)result, (uint32_t)strlen(result));
}
#endif

static bool step(void) {
    struct tl_event event;
    if (!tl_answer_step(&event)) {
        return false;
    }
#if TL_ACTIONS
    if (event.kind == TL_EVENT_CALL) {
        carry_out_call();
        return true;
    }
#endif
    if (voice == TEXT) {
        tl_text_event(&event);
    } else {
        tl_program_event(&event);
    }
    return true;
}

/* Ends the answer, and lets the current voice report its end before the rest of a wish is carried out. */
static void stop_answer(void) {
    tl_session_cancel();
    (void)step();
}

/* Carries out a wish. request: the frame that the wish came with, if any. */
static void carry_out(enum tl_wish wish, const struct tl_frame *request) {
    switch (wish) {
    case TL_STAY:
        break;
    case TL_STOP_ANSWER:
        stop_answer();
        if (voice == PROGRAM) {
            tl_program_stopped(request);
        }
        break;
    case TL_TO_TEXT:
        stop_answer();
        tl_program_stopped(request);
        voice = TEXT;
        tl_text_enter();
        break;
    case TL_TO_PERSON:
        stop_answer();
        voice = TEXT;
        tl_text_start();
        break;
    case TL_TO_PROGRAM:
        if (tl_program_serves(request)) {
            stop_answer();
            voice = PROGRAM;
            tl_program_hello(request);
        }
        break;
    }
}

bool tl_console_poll(void) {
    /* The number of bytes is bounded, so that a flood of input cannot hold up the answer. */
    uint32_t taken = 0;
    int byte;
    while (taken < TL_RECEIVE_MAX && (byte = tl_port_read()) >= 0) {
        struct tl_frame request;
        taken++;
        const enum tl_wish wish =
            voice == TEXT ? tl_text_receive((uint8_t)byte, &request) : tl_program_receive((uint8_t)byte, &request);
        carry_out(wish, &request);
    }
    if (voice == TEXT) {
        tl_text_resume();
    }
    return step() || taken == TL_RECEIVE_MAX;
}
