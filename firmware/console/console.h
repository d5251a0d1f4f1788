/* The console: one byte stream, two voices (docs/protocol.md). A port calls start once, then poll for ever. */
#ifndef TL_CONSOLE_H
#define TL_CONSOLE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

void tl_console_start(void);

/* Takes what arrived, then does at most one forward pass. True while there is more to do without new input: a port
   may sleep until the next byte once it is false. */
bool tl_console_poll(void);

#ifdef __cplusplus
}
#endif

#endif
