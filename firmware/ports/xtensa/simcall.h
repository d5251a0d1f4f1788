/* What QEMU does for a program in its Xtensa simulator (target/xtensa/xtensa-semi.c of QEMU). */
#ifndef TL_SIMCALL_H
#define TL_SIMCALL_H

#include <stdbool.h>
#include <stdint.h>

/* Takes at most n bytes of QEMU's stdin, waiting for the first; 0: nothing will ever come again; negative: failed. `bytes` may not
   cross a boundary of 4 KB, at which QEMU would wait a second time. */
int32_t tl_sim_read(uint8_t *bytes, uint32_t n);

/* How many of n bytes were written to QEMU's stdout; negative: failed. */
int32_t tl_sim_write(const uint8_t *bytes, uint32_t n);

/* Whether tl_sim_read would not wait, now or within so many seconds. */
bool tl_sim_readable(uint32_t seconds);

/* How many words QEMU's -append has, and one for the program's name. */
uint32_t tl_sim_arguments(void);

/* Ends QEMU. */
void tl_sim_exit(uint32_t code) __attribute__((noreturn));

#endif
