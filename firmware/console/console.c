#include "console.h"

#include "answer.h"
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
    tl_text_start();
}

static bool step(void) {
    struct tl_event event;
    if (!tl_answer_step(&event)) {
        return false;
    }
    if (voice == TEXT) {
        tl_text_event(&event);
    } else {
        tl_program_event(&event);
    }
    return true;
}

/* The voice that speaks says that the answer has ended, and only then is the rest of a wish done. */
static void stop_answer(void) {
    tl_session_cancel();
    (void)step();
}

/* request: the frame that the wish came with, if any. */
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
    /* Bounded, so that a flood of input cannot hold up the answer. */
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
