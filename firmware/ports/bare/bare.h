/* The bare-metal ports: what a chip's folder supplies, and what they share. */
#ifndef TL_BARE_H
#define TL_BARE_H

#ifdef __cplusplus
extern "C" {
#endif

/* A chip supplies tl_port_read, tl_port_write and tl_port_micros of port.h, and these two. */

/* Makes the byte stream and the clock ready. */
void tl_chip_start(void);

/* Sleeps until there may be something to read; may return early. */
void tl_chip_wait(void);

/* What the reset code calls once there is a stack: prepares memory, then runs the console for ever. */
void tl_bare_start(void) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
