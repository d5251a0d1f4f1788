/* The program voice: requests and replies in frames (docs/protocol.md). */
#ifndef TL_PROGRAM_VOICE_H
#define TL_PROGRAM_VOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "frames.h"
#include "session.h"
#include "wish.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TL_PROTOCOL_VERSION 4u

/* Takes a byte while the program voice speaks. With TL_STOP_ANSWER and TL_TO_TEXT *request is what asks for it: until the
   answer has ended it is neither obeyed nor answered. */
enum tl_wish tl_program_receive(uint8_t byte, struct tl_frame *request);

/* Obeys the CANCEL, RESET or BYE that waited for the end of the answer. */
void tl_program_stopped(const struct tl_frame *request);

/* Whether the version of a HELLO is served; if not, it is refused. */
bool tl_program_serves(const struct tl_frame *hello);

/* Answers a HELLO. */
void tl_program_hello(const struct tl_frame *hello);

/* Carries out a call and tells the program of it and of its result, or asks the program for one. */
void tl_program_call(const char *call);

/* Tells the program what a step brought. */
void tl_program_event(const struct tl_event *event);

#ifdef __cplusplus
}
#endif

#endif
