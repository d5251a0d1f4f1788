/* CCOUNT of QEMU's LX106, and the instructions that it stands for. */
#ifndef TL_CLOCK_H
#define TL_CLOCK_H

#include <stdint.h>

/* How many instructions lie between two readings of CCOUNT, if QEMU counts: fewer than 3.3e9, after which it goes round. */
uint32_t tl_instructions_between(uint32_t earlier, uint32_t later);

#endif
