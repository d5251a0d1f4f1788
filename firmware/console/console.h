/* The console: one byte stream, and two voices that use it: text for people, frames for programs (docs/protocol.md). A
 * port calls start once, then poll for ever. */
#ifndef TL_CONSOLE_H
#define TL_CONSOLE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

void tl_console_start(void);

/* Takes the bytes that arrived, then does at most one forward pass. Returns true while there is more to do without new
   input. Once it returns false, a port may sleep until the next byte. */
bool tl_console_poll(void);

#ifdef __cplusplus
}
#endif

#endif
