/* CCOUNT of QEMU's LX106, and the instructions that it stands for. */
#ifndef TL_CLOCK_H
#define TL_CLOCK_H

#include <stdint.h>

/* The number of instructions between two readings of CCOUNT, if QEMU counts them: below 3.3e9, because CCOUNT wraps. */
uint32_t tl_instructions_between(uint32_t earlier, uint32_t later);

#endif
