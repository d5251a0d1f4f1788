/* The byte stream of the host port: stdio, a TCP connection or a pseudo-terminal; one implementation per system. */
#ifndef TL_HOST_H
#define TL_HOST_H

#include <stdbool.h>
#include <stdint.h>

/* Each opens the stream that port.h reads and writes, and says on stdout where it listens. Returns false, after a
   message on stderr, if it cannot be opened. */
bool tl_host_open_stdio(void);
bool tl_host_open_tcp(uint16_t port); /* on 127.0.0.1 only; 0: any free port */
bool tl_host_open_pty(void);

/* From now on the end of stdin ends the program: with a pipe from its parent, it ends with its parent. */
void tl_host_watch_stdin(void);

/* Sleeps until there may be something to read. */
void tl_host_wait(void);

/* Whether the input has ended for good. */
bool tl_host_ended(void);

#endif
