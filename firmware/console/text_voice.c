#include "text_voice.h"

#include <string.h>

#include "answer.h"
#include "commands.h"
#include "escapes.h"
#include "frames.h"
#include "port.h"
#include "text_options.h"
#include "text_write.h"

#define CTRL_C 0x03
#define BACKSPACE 0x08
#define DELETE 0x7F

/* The Esc key sends the byte that every escape sequence begins with. A key with Alt sends this byte and its character
   at once. So only a pause of this length tells the Esc key and the next key from one key with Alt. */
#define ESC_KEY_US 500000u

/* Every request begins on the wire with a COBS code in this range, then its type. */
#define CODE_MIN 0x02
#define CODE_MAX 0x0F

/* The receive buffer begins with the line under way or, during an answer, with the bytes that are typed ahead. */
static struct {
    uint32_t line;  /* bytes of the line */
    uint32_t ahead; /* bytes typed ahead */
    bool overlong;  /* the rest of the line is dropped */
    bool overrun;   /* bytes typed ahead were dropped */
    bool after_cr;
    bool quiet; /* since quiet_since no byte has come and no answer was under way */
    uint64_t quiet_since;
    uint8_t previous;
    enum { TYPING, AFTER_ZERO, IN_FRAME } state;
} text;

static void ready(void) {
    if (tl_text_echo()) {
        tl_write("> ");
    }
}

static void forget_typed(void) {
    text.line = text.ahead = 0;
    text.overlong = text.overrun = text.after_cr = false;
    tl_escape_drop();
}

void tl_text_start(void) {
    tl_text_enter();
    tl_text_greet();
    ready();
}

void tl_text_enter(void) {
    forget_typed();
    text.state = AFTER_ZERO;
    text.previous = 0;
}

/* --- Lines --- */

static bool is_line_end(uint8_t byte) {
    return byte == '\r' || byte == '\n';
}

static void say_dropped(void) {
    tl_write("dropped: more than ");
    tl_write_whole(TL_TEXT_MAX);
    tl_write(" bytes" TL_LINE_END);
}

static void prompt(uint32_t n_bytes) {
    const uint32_t wanted = tl_session_settings()->max_tokens;
    const uint32_t limit = wanted == 0 ? TL_UNTIL_STOP : wanted;
    const enum tl_error error = tl_text_chat() ? tl_answer_chat(tl_receive_buffer, n_bytes, limit)
                                               : tl_answer_text(tl_receive_buffer, n_bytes, limit);
    if (error != TL_OK) {
        tl_write(tl_error_text(error));
        tl_write(TL_LINE_END);
        ready();
    }
}

static void end_line(void) {
    const uint32_t n_bytes = text.line;
    text.line = 0;
    if (tl_text_echo()) {
        tl_write(TL_LINE_END);
    }
    if (text.overlong) {
        text.overlong = false;
        say_dropped();
    } else if (n_bytes > 0 && tl_receive_buffer[0] == '/') {
        tl_receive_buffer[n_bytes] = '\0';
        tl_command((char *)tl_receive_buffer);
    } else if (n_bytes > 0) {
        prompt(n_bytes);
        return;
    }
    ready();
}

static bool is_continuation(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

static void erase_character(void) {
    if (text.line == 0) {
        return;
    }
    do {
        text.line--;
    } while (text.line > 0 && is_continuation(tl_receive_buffer[text.line]));
    if (tl_text_echo()) {
        tl_write("\b \b");
    }
}

static void edit(uint8_t byte) {
    const bool second_of_crlf = byte == '\n' && text.after_cr;
    text.after_cr = byte == '\r';
    if (is_line_end(byte)) {
        if (!second_of_crlf) {
            end_line();
        }
    } else if (text.overlong) {
        return;
    } else if (byte == BACKSPACE || byte == DELETE) {
        erase_character();
    } else if (byte >= ' ' && text.line == TL_TEXT_MAX) {
        text.line = 0;
        text.overlong = true;
    } else if (byte >= ' ') {
        tl_receive_buffer[text.line++] = byte;
        if (tl_text_echo()) {
            tl_port_write(&byte, 1);
        }
    }
}

/* --- Typing ahead: bytes typed during an answer wait for its end --- */

static void type_ahead(uint8_t byte) {
    if (text.overlong) {
        text.overlong = !is_line_end(byte);
    } else if (text.ahead < TL_RECEIVE_MAX) {
        tl_receive_buffer[text.ahead++] = byte;
    } else {
        text.ahead = 0;
        text.overlong = !is_line_end(byte);
        text.overrun = true;
    }
}

void tl_text_resume(void) {
    if (tl_session_active()) {
        text.quiet = false;
        return;
    }
    if (!text.quiet) {
        text.quiet = true;
        text.quiet_since = tl_port_micros();
    }
    if (text.overrun) {
        text.overrun = false;
        say_dropped();
        ready();
    }
    uint32_t taken = 0;
    while (taken < text.ahead && !tl_session_active()) {
        edit(tl_receive_buffer[taken++]); /* the line, at the start of the buffer, is never longer than `taken` */
    }
    text.ahead -= taken;
    memmove(tl_receive_buffer, tl_receive_buffer + taken, text.ahead);
}

static bool is_escape(uint8_t byte) {
    const bool paused = text.quiet && tl_port_micros() - text.quiet_since >= ESC_KEY_US;
    text.quiet = false;
    if (tl_escape_undecided() && byte != '[' && paused) {
        tl_escape_drop();
    }
    return tl_escape_take(byte);
}

static void type(uint8_t byte) {
    if (is_escape(byte)) {
        return;
    }
    if (tl_session_active() || text.ahead > 0) {
        type_ahead(byte);
    } else {
        edit(byte);
    }
}

/* --- Bytes --- */

/* Ends a frame: its bytes are not typed text. Of all requests only HELLO is obeyed in the text voice. */
static enum tl_wish end_frame(struct tl_frame *frame) {
    const enum tl_frame_result result = tl_frame_take(0, frame);
    forget_typed();
    text.state = AFTER_ZERO;
    return result == TL_FRAME_GOOD && frame->type == TL_HELLO ? TL_TO_PROGRAM : TL_STAY;
}

/* Whether a byte after a 00 may belong to a request; two Ctrl-C in a row never do. */
static bool may_be_framed(uint8_t byte, uint8_t previous) {
    switch (text.state) {
    case AFTER_ZERO:
        return byte >= CODE_MIN && byte <= CODE_MAX;
    case IN_FRAME:
        return !(byte == CTRL_C && previous == CTRL_C) && (tl_frame_length() > 0 || tl_is_request(byte));
    case TYPING:
        break;
    }
    return false;
}

static enum tl_wish interrupt(void) {
    forget_typed();
    if (tl_session_active()) {
        return TL_STOP_ANSWER;
    }
    if (tl_text_echo()) {
        tl_write("^C" TL_LINE_END);
        ready();
    }
    return TL_STAY;
}

enum tl_wish tl_text_receive(uint8_t byte, struct tl_frame *hello) {
    enum tl_wish wish = TL_STAY;
    const bool framed = may_be_framed(byte, text.previous);
    text.previous = byte;
    /* Within a frame a 03 may be data, so it does not clear the line there; but it does stop an answer. */
    if (byte == CTRL_C && (!framed || text.state == AFTER_ZERO || tl_session_active())) {
        wish = interrupt();
    }
    if (byte == 0) {
        wish = end_frame(hello);
    } else if (framed) {
        text.state = IN_FRAME;
        (void)tl_frame_take(byte, hello);
    } else {
        text.state = TYPING;
        tl_frame_drop();
        if (byte != CTRL_C) {
            type(byte);
        }
    }
    return wish;
}

/* --- Events --- */

void tl_text_call(const char *call, const char *result) {
    tl_write("[");
    tl_write(call);
    tl_write(": ");
    tl_write(result);
    tl_write("]");
}

void tl_text_event(const struct tl_event *event) {
    if (event->kind == TL_EVENT_PROGRESS) {
        return;
    }
    tl_answer_put_text(event, tl_write_answer);
    if (event->kind == TL_EVENT_DONE) {
        tl_write(TL_LINE_END);
        if (tl_session_answer()->reason == TL_REASON_CONTEXT) {
            tl_write("the context is full: /reset, or /overflow slide" TL_LINE_END);
        }
        ready();
    }
}
