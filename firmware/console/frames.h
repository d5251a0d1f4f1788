/* Frames on the wire: COBS (Cheshire and Baker, IEEE/ACM ToN 7(2), 1999) around a CRC-16 (docs/protocol.md). */
#ifndef TL_FRAMES_H
#define TL_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest frame: type, sequence and CRC around a prompt of TL_TEXT_MAX bytes or TL_CONTEXT token ids. */
#define TL_FRAME_OVERHEAD 4u
#define TL_PROMPT_HEADER 5u
#define TL_PROMPT_MAX (TL_TEXT_MAX > 4u * TL_CONTEXT ? TL_TEXT_MAX : 4u * TL_CONTEXT)
#define TL_RECEIVE_MAX (TL_FRAME_OVERHEAD + TL_PROMPT_HEADER + TL_PROMPT_MAX)

/* The bytes that arrive: the frame under way or, in the text voice, the line. Never both. */
extern uint8_t tl_receive_buffer[TL_RECEIVE_MAX];

/* Types of requests. */
enum tl_request {
    TL_HELLO = 0x01,
    TL_PROMPT = 0x02,
    TL_CANCEL = 0x03,
    TL_RESET = 0x04,
    TL_SET = 0x05,
    TL_GET = 0x06,
    TL_LOGITS = 0x07,
    TL_MEMORY = 0x08,
    TL_BYE = 0x09,
    TL_GIVE_RESULT = 0x0B, /* 0A is skipped: a person may type 00, 0D (a valid COBS code) and 0A (a line end) */
    TL_CARRY_OUT = 0x0C
};

/* Whether a byte is the type of a request. */
static inline bool tl_is_request(uint8_t type) {
    return (type >= TL_HELLO && type <= TL_BYE) || type == TL_GIVE_RESULT || type == TL_CARRY_OUT;
}

/* A frame whose CRC is right. body points into the receive buffer, which holds only the beginning of a frame that is
   longer than any request may be. So check n_body before you read body. */
struct tl_frame {
    uint8_t type;
    uint8_t sequence;
    const uint8_t *body;
    uint32_t n_body;
};

enum tl_frame_result {
    TL_FRAME_OPEN, /* more bytes are needed */
    TL_FRAME_GOOD, /* *frame is set, and valid until the next byte is taken */
    TL_FRAME_CORRUPT
};

/* Takes one byte from the wire. Frames of no byte or one byte are ignored. */
enum tl_frame_result tl_frame_take(uint8_t byte, struct tl_frame *frame);

/* Forgets the frame under way. */
void tl_frame_drop(void);

/* The type of the frame under way; 0, which is no type, before it has arrived. */
uint8_t tl_frame_type(void);

/* The number of decoded bytes of the frame under way. */
uint32_t tl_frame_length(void);

/* Send a frame: begin, any number of puts, end. */
void tl_frame_begin(uint8_t type, uint8_t sequence);
void tl_frame_put(const uint8_t *bytes, uint32_t n);
void tl_frame_put_u8(uint8_t value);
void tl_frame_put_u32(uint32_t value);
void tl_frame_end(void);

#ifdef __cplusplus
}
#endif

#endif
