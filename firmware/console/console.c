#include "console.h"

#include "answer.h"
#include "frames.h"
#include "port.h"
#include "program_voice.h"
#include "session.h"
#include "text_voice.h"

static enum tl_voice voice;

void tl_console_start(void) {
    voice = TL_VOICE_TEXT;
    tl_session_start();
    tl_text_start();
}

static bool step(void) {
    struct tl_event event;
    if (!tl_answer_step(&event)) {
        return false;
    }
    if (voice == TL_VOICE_TEXT) {
        tl_text_event(&event);
    } else {
        tl_program_event(&event);
    }
    return true;
}

bool tl_console_poll(void) {
    /* Bounded, so that a flood of input cannot hold up the answer. */
    uint32_t taken = 0;
    int byte;
    while (taken < TL_RECEIVE_MAX && (byte = tl_port_read()) >= 0) {
        taken++;
        if (voice == TL_VOICE_TEXT) {
            tl_text_receive((uint8_t)byte);
        } else {
            tl_program_receive((uint8_t)byte);
        }
    }
    if (voice == TL_VOICE_TEXT) {
        tl_text_resume();
    }
    return step() || taken == TL_RECEIVE_MAX;
}

void tl_console_stop_answer(void) {
    tl_session_cancel();
    (void)step();
}

void tl_console_set_voice(enum tl_voice new_voice) {
    tl_console_stop_answer();
    voice = new_voice;
    if (voice == TL_VOICE_TEXT) {
        tl_text_enter();
    }
}
