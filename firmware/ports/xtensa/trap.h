/* An exception of the LX106, with the state of the processor. The vectors of startup.c save it, trap.c handles it. */
#ifndef TL_TRAP_H
#define TL_TRAP_H

#include <stdbool.h>
#include <stdint.h>

/* startup.c relies on the offsets. shift is SAR; entered and left are CCOUNT, read by the vector. */
struct tl_trap {
    uint32_t a[16];
    uint32_t pc, ps, cause, address, debug_cause, shift, entered, left;
};

/* Called by the vector: emulates an instruction that the LX106 lacks and the board's chip has. When it returns, `trap`
 * is the new state of the processor. Any other exception is a fault, from which it does not return. */
void tl_trap(struct tl_trap *trap);

/* Reports a fault and ends the board. */
void tl_trap_fault(const struct tl_trap *trap) __attribute__((noreturn));

/* Supplied by the chip's folder, if the chip has more instructions that the LX106 lacks. Emulates the instruction at
 * trap->pc: changes trap->a and moves trap->pc past it. Returns false if the chip does not have it either. Runs in
 * kernel mode, where an access to an address without memory is a fault of the program. */
bool tl_chip_execute(struct tl_trap *trap);

/* The instructions that all traps took, minus one for each: the clock subtracts them, so that an emulated instruction
 * counts as one. */
uint64_t tl_trap_instructions(void);

#endif
