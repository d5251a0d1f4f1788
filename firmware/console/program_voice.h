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

/* Takes a byte while the program voice is in use. With TL_STOP_ANSWER and TL_TO_TEXT *request is the request that asks
   for it; it is obeyed and answered by tl_program_stopped, once the answer has ended. */
enum tl_wish tl_program_receive(uint8_t byte, struct tl_frame *request);

/* Obeys the CANCEL, RESET or BYE that waited for the end of the answer, and replies OK. */
void tl_program_stopped(const struct tl_frame *request);

/* Whether the version of a HELLO is served; if not, replies with an error. */
bool tl_program_serves(const struct tl_frame *hello);

/* Replies to a HELLO. */
void tl_program_hello(const struct tl_frame *hello);

/* Carries out a call and sends CALL and RESULT, or sends CALL and waits for the program's result. */
void tl_program_call(const char *call);

/* Sends the program the outcome of a step. */
void tl_program_event(const struct tl_event *event);

#ifdef __cplusplus
}
#endif

#endif
