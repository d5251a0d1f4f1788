/* The program voice: requests and replies in frames (docs/protocol.md). */
#ifndef TL_PROGRAM_VOICE_H
#define TL_PROGRAM_VOICE_H

#include <stdint.h>

#include "frames.h"
#include "session.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TL_PROTOCOL_VERSION 2u

enum tl_request {
    TL_HELLO = 0x01,
    TL_PROMPT = 0x02,
    TL_CANCEL = 0x03,
    TL_RESET = 0x04,
    TL_SET = 0x05,
    TL_GET = 0x06,
    TL_LOGITS = 0x07,
    TL_MEMORY = 0x08,
    TL_BYE = 0x09
};

/* Takes a byte while the program voice speaks. */
void tl_program_receive(uint8_t byte);

/* Obeys a HELLO frame that reached the text voice: the program voice speaks from now on, if it serves that version. */
void tl_program_hello(const struct tl_frame *hello);

/* Tells the program what a step brought. */
void tl_program_event(const struct tl_event *event);

#ifdef __cplusplus
}
#endif

#endif
