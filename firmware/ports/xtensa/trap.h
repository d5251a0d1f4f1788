/* An exception of the LX106, and the processor as it was. The vectors of startup.c save it, trap.c judges it. */
#ifndef TL_TRAP_H
#define TL_TRAP_H

#include <stdbool.h>
#include <stdint.h>

/* startup.c knows the offsets. shift is SAR; entered and left are CCOUNT, read by the vector. */
struct tl_trap {
    uint32_t a[16];
    uint32_t pc, ps, cause, address, debug_cause, shift, entered, left;
};

/* For the vector: executes an instruction that the LX106 lacks and the board's chip has. Returns if that is done: `trap`
 * is then the processor as it shall be. Any other exception is a fault. */
void tl_trap(struct tl_trap *trap);

/* Reports a fault and ends the board. */
void tl_trap_fault(const struct tl_trap *trap) __attribute__((noreturn));

/* Of the chip's folder, if the chip has instructions that the LX106 lacks: executes the one at trap->pc, that is, changes
 * trap->a and moves trap->pc past it. False if the chip does not have it either. Runs in kernel mode, where an access
 * to an address without memory is a fault of the program. */
bool tl_chip_execute(struct tl_trap *trap);

/* The instructions that were executed in place of others, but for one each: with them the clock counts an instruction that
 * was executed for the program as one. */
uint64_t tl_trap_instructions(void);

#endif
