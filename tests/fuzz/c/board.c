#include "board.h"

#include <string.h>

#include "chat_template.h"
#include "console.h"
#include "frames.h"
#include "port.h"
#include "program_voice.h"
#include "promise.h"
#include "text_options.h"
#include "utf8.h"

#define SEGMENT_MAX 16384u
#define POLL_MICROS 100000u /* so that pauses between keys happen too */

#define ASKED 200u /* a sequence number */

struct board_heard board_heard;
static uint8_t awaited; /* type of the reply, 0: none */

static const uint8_t *arriving;
static uint32_t n_arriving;
static uint64_t now;
static bool thinking, frames_only, echoed;
static uint8_t segment[SEGMENT_MAX]; /* what was said since the last zero */
static uint32_t n_segment;

/* --- Frames, written down once more: COBS around type, sequence, body and CRC-16/CCITT-FALSE --- */

static uint16_t crc16(const uint8_t *bytes, uint32_t n) {
    uint32_t crc = 0xFFFF;
    for (uint32_t i = 0; i < n; i++) {
        crc ^= (uint32_t)bytes[i] << 8;
        for (uint32_t bit = 0; bit < 8; bit++) crc = crc & 0x8000u ? crc << 1 ^ 0x11021u : crc << 1;
    }
    return (uint16_t)crc;
}

uint32_t board_frame(const uint8_t *payload, uint32_t n, uint8_t *wire) {
    const uint16_t crc = crc16(payload, n);
    uint32_t written = 2, code = 1;
    wire[0] = 0;
    for (uint32_t i = 0; i < n + 2u; i++) {
        const uint8_t byte = i < n ? payload[i] : (uint8_t)(i == n ? crc : crc >> 8);
        if (written - code == 255u) {
            wire[code] = 255;
            code = written++;
        }
        if (byte == 0) {
            wire[code] = (uint8_t)(written - code);
            code = written++;
        } else {
            wire[written++] = byte;
        }
    }
    wire[code] = (uint8_t)(written - code);
    wire[written++] = 0;
    return written;
}

uint32_t board_decode(const uint8_t *encoded, uint32_t n, uint8_t *payload) {
    uint32_t written = 0;
    for (uint32_t at = 0; at < n;) {
        const uint32_t code = encoded[at];
        if (code == 0 || at + code > n) {
            return 0;
        }
        memcpy(payload + written, encoded + at + 1, code - 1u);
        written += code - 1u;
        at += code;
        if (code < 255u && at < n) {
            payload[written++] = 0;
        }
    }
    if (written < 4u) {
        return 0;
    }
    const uint32_t sent = payload[written - 2u] | (uint32_t)payload[written - 1u] << 8;
    return crc16(payload, written - 2u) == sent ? written - 2u : 0;
}

/* --- What the board says --- */

static bool is_utf8(const uint8_t *bytes, uint32_t n) {
    for (uint32_t at = 0; at < n;) {
        const uint32_t length = tl_utf8_length(bytes + at, n - at);
        if (length == 0 || length > n - at) {
            return false;
        }
        at += length;
    }
    return true;
}

static void hear_text(void) {
    const uint32_t room = sizeof board_heard.text - 1u;
    const uint32_t n = n_segment < room ? n_segment : room;
    memcpy(board_heard.text, segment + n_segment - n, n);
    board_heard.text[n] = '\0';
}

static void end_segment(void) {
    static uint8_t payload[SEGMENT_MAX];
    const uint32_t n = board_decode(segment, n_segment, payload);
    if (n > 0) {
        PROMISE(payload[0] >= 0x81u && payload[0] <= 0x8Bu);
        board_heard.frames++;
        if (awaited != 0 && payload[0] == awaited && payload[1] == ASKED) {
            awaited = 0;
            board_heard.n_reply = n - 2u;
            PROMISE(board_heard.n_reply <= sizeof board_heard.reply);
            memcpy(board_heard.reply, payload + 2, board_heard.n_reply);
        }
    } else if (n_segment > 0) {
        PROMISE(!frames_only || board_heard.frames == 0);
        PROMISE(echoed || is_utf8(segment, n_segment)); /* what a person types is echoed as it is */
        hear_text();
    }
    n_segment = 0;
}

void board_end(void) {
    end_segment();
}

void tl_port_write(const uint8_t *bytes, uint32_t n) {
    echoed = echoed || tl_text_echo();
    for (uint32_t i = 0; i < n; i++) {
        if (bytes[i] == 0) {
            end_segment();
        } else {
            if (n_segment == SEGMENT_MAX) { /* no frame is so long */
                n_segment = 0;
                echoed = true; /* a character may be cut */
            }
            segment[n_segment++] = bytes[i];
        }
    }
}

/* --- The rest of a port --- */

int tl_port_read(void) {
    if (n_arriving == 0) {
        return -1;
    }
    n_arriving--;
    return *arriving++;
}

uint64_t tl_port_micros(void) {
    return now++;
}

void tl_port_thinking(bool begins) {
    PROMISE(begins != thinking);
    thinking = begins;
}

bool tl_port_stack(uint32_t *used, uint32_t *size) {
    (void)used, (void)size;
    return false;
}

/* --- For the targets --- */

void board_start(bool frames) {
    memset(&board_heard, 0, sizeof board_heard);
    n_arriving = n_segment = 0;
    now = 0;
    thinking = echoed = false;
    frames_only = frames;
    tl_frame_drop();
    tl_text_set_chat(TL_CHAT);
    tl_console_start();
}

void board_receive(const uint8_t *bytes, uint32_t n, uint32_t polls) {
    arriving = bytes;
    n_arriving = n;
    while (n_arriving > 0 || polls > 0) {
        (void)tl_console_poll();
        polls -= polls > 0;
        now += POLL_MICROS;
    }
}

void board_request(const uint8_t *payload, uint32_t n, uint32_t polls) {
    static uint8_t wire[SEGMENT_MAX];
    PROMISE(n + n / 254u + 6u <= sizeof wire);
    board_receive(wire, board_frame(payload, n, wire), polls);
}

void board_ask(uint8_t type, uint8_t reply_type) {
    const uint8_t payload[] = {type, ASKED, TL_PROTOCOL_VERSION};
    awaited = reply_type;
    board_request(payload, type == TL_HELLO ? 3 : 2, 1);
    PROMISE(awaited == 0);
}
