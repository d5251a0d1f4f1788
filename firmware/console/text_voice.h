/* The text voice: lines of UTF-8 from a person, and text back (docs/protocol.md). */
#ifndef TL_TEXT_VOICE_H
#define TL_TEXT_VOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Greets, and shows that it is ready. */
void tl_text_start(void);

/* Drops what was half typed: the text voice speaks from now on. */
void tl_text_enter(void);

/* Says who is there, and whether the weights are damaged. */
void tl_text_greet(void);

/* Whether typed characters and a prompt sign are shown: at first they are. */
void tl_text_set_echo(bool echo);

/* Whether a typed line is a turn of a chat, as it is at first where there is a chat template, or a prompt as it is. */
void tl_text_set_chat(bool chat);
bool tl_text_chat(void);

/* Takes a byte while the text voice speaks. */
void tl_text_receive(uint8_t byte);

/* Takes up what was typed during an answer that has ended. */
void tl_text_resume(void);

/* Tells the person what a step brought. */
void tl_text_event(const struct tl_event *event);

#ifdef __cplusplus
}
#endif

#endif
