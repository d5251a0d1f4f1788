/* The system calls of QEMU's Xtensa simulator (target/xtensa/xtensa-semi.c of QEMU). */
#ifndef TL_SIMCALL_H
#define TL_SIMCALL_H

#include <stdbool.h>
#include <stdint.h>

/* Reads at most n bytes from QEMU's stdin; waits for the first. Returns how many; 0: stdin has ended; negative: failed.
   `bytes` must not cross a boundary of 4 KB, because QEMU would wait a second time there. */
int32_t tl_sim_read(uint8_t *bytes, uint32_t n);

/* Writes n bytes to QEMU's stdout. Returns how many were written; negative: failed. */
int32_t tl_sim_write(const uint8_t *bytes, uint32_t n);

/* Waits at most this many seconds until tl_sim_read would not wait. Returns whether that is so. */
bool tl_sim_readable(uint32_t seconds);

/* The number of words in QEMU's -append, plus one for the program's name. */
uint32_t tl_sim_arguments(void);

/* Ends QEMU. */
void tl_sim_exit(uint32_t code) __attribute__((noreturn));

#endif
