/* The port: the functions that each board supplies for the console. */
#ifndef TL_PORT_H
#define TL_PORT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The next byte that arrived, or -1. Never waits. */
int tl_port_read(void);

/* Sends n bytes. Drops them if nobody reads. */
void tl_port_write(const uint8_t *bytes, uint32_t n);

/* Microseconds since some moment; never goes back. */
uint64_t tl_port_micros(void);

/* Called when an answer begins and when it has ended. A board with an LED shows it. */
void tl_port_thinking(bool thinking);

/* Registers the handlers of the board's own actions (actions.h). Called only if the model makes calls. */
void tl_port_actions(void);

/* The most bytes of stack in use since the start, and the size of the stack. false if the board cannot tell. */
bool tl_port_stack(uint32_t *used, uint32_t *size);

#ifdef __cplusplus
}
#endif

#endif
