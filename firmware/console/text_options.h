/* What a person has chosen about the text voice, and the greeting: shared by the voice and its commands. */
#ifndef TL_TEXT_OPTIONS_H
#define TL_TEXT_OPTIONS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether typed characters and a prompt sign are shown: at first they are. */
bool tl_text_echo(void);
void tl_text_set_echo(bool echo);

/* Whether a typed line is a turn of a chat (at first, if there is a chat template) or a prompt as it is. */
bool tl_text_chat(void);
void tl_text_set_chat(bool chat);

/* Says who is there, and whether the weights are damaged or the kernels failed their check. */
void tl_text_greet(void);

/* Says that the kernels failed their check, if they did. */
void tl_text_warn_of_kernels(void);

#ifdef __cplusplus
}
#endif

#endif
