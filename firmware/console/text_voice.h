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

/* Greets, and shows that it is ready. */
void tl_text_start(void);

/* Drops what was half typed: the text voice speaks from now on. */
void tl_text_enter(void);

/* Takes a byte while the text voice speaks. With TL_TO_PROGRAM *hello is the HELLO that has come. */
enum tl_wish tl_text_receive(uint8_t byte, struct tl_frame *hello);

/* Takes up what was typed during an answer that has ended. */
void tl_text_resume(void);

/* Tells the person of a call that was carried out, and its result. */
void tl_text_call(const char *call, const char *result);

/* Tells the person what a step brought. */
void tl_text_event(const struct tl_event *event);

#ifdef __cplusplus
}
#endif

#endif
