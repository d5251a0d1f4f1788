/* What the console asks of a board. */
#ifndef TL_PORT_H
#define TL_PORT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The next byte that arrived, or -1: never waits. */
int tl_port_read(void);

/* Sends n bytes; drops them if nobody listens. */
void tl_port_write(const uint8_t *bytes, uint32_t n);

/* Microseconds since some moment, never going back. */
uint64_t tl_port_micros(void);

/* Called when an answer begins and when it has ended: a board with an LED shows it. */
void tl_port_thinking(bool thinking);

/* Registers the handlers of the board's own actions (actions.h). Of a model that makes calls. */
void tl_port_actions(void);

/* The most bytes of stack used since the start, and how many there are; false if the board cannot tell. */
bool tl_port_stack(uint32_t *used, uint32_t *size);

#ifdef __cplusplus
}
#endif

#endif
