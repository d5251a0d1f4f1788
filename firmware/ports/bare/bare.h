/* The bare-metal ports: the functions that a chip's folder supplies, and the start that they share. */
#ifndef TL_BARE_H
#define TL_BARE_H

#ifdef __cplusplus
extern "C" {
#endif

/* A chip supplies tl_port_read, tl_port_write and tl_port_micros of port.h, and these two. */

/* Starts the byte stream and the clock. */
void tl_chip_start(void);

/* Sleeps until there may be something to read; may return early. */
void tl_chip_wait(void);

/* The reset code calls it once there is a stack. It prepares memory, then runs the console for ever. */
void tl_bare_start(void) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
