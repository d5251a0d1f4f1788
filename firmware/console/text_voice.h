/* The text voice: lines of UTF-8 from a person, and text back (docs/protocol.md). */
#ifndef TL_TEXT_VOICE_H
#define TL_TEXT_VOICE_H

#include <stdint.h>

#include "frames.h"
#include "session.h"
#include "wish.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Enters the text voice, greets, and writes the prompt sign. */
void tl_text_start(void);

/* Enters the text voice: drops a line that is half typed. */
void tl_text_enter(void);

/* Takes a byte while the text voice is in use. With TL_TO_PROGRAM *hello is the HELLO that came. */
enum tl_wish tl_text_receive(uint8_t byte, struct tl_frame *hello);

/* Handles the bytes that were typed during an answer, once it has ended. */
void tl_text_resume(void);

/* Writes a call that was carried out, and its result. */
void tl_text_call(const char *call, const char *result);

/* Writes the outcome of a step. */
void tl_text_event(const struct tl_event *event);

#ifdef __cplusplus
}
#endif

#endif
