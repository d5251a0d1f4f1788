/* The options of the text voice, and its greeting: shared by the voice and its commands. */
#ifndef TL_TEXT_OPTIONS_H
#define TL_TEXT_OPTIONS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether typed characters and a prompt sign are shown. On at the start. */
bool tl_text_echo(void);
void tl_text_set_echo(bool echo);

/* Whether a typed line is a turn of a chat or a prompt as it is. On at the start if there is a chat template. */
bool tl_text_chat(void);
void tl_text_set_chat(bool chat);

/* Writes the names of model and board, and warns of weights that are not intact and of kernels that failed. */
void tl_text_greet(void);

/* Writes a warning if the kernels failed their check. */
void tl_text_warn_of_kernels(void);

#ifdef __cplusplus
}
#endif

#endif
