/* Handles an exception: emulates the instruction, or reports a fault with the processor's registers and ends the board.
 *
 * On the LX106 an unknown instruction is an exception, so the instructions of another chip can be emulated here one by
 * one (Xtensa Instruction Set Architecture Reference Manual, section 4.4.1).
 */
#include "trap.h"

#include <stddef.h>

#include "clock.h"
#include "lx6.h"
#include "port.h"
#include "simcall.h"

#define ILLEGAL_INSTRUCTION 0u /* EXCCAUSE */
#define DEBUG_EXCEPTION 63u    /* the highest EXCCAUSE, which no processor uses; DEBUGCAUSE tells more */
#define DATA_BREAKPOINT 4u     /* DEBUGCAUSE: a write to the stack's guard; otherwise it was a break instruction */
/* Instructions of the vector before its first reading of CCOUNT and from its second one on, minus the program's one. */
#define UNREAD_INSTRUCTIONS 10u

static uint64_t others;      /* instructions that all traps but the last one took */
static uint32_t entered;     /* CCOUNT at the start of the last trap */
static const uint32_t *left; /* where the vector writes CCOUNT at its end; NULL: `others` includes the last trap */

__attribute__((weak)) bool tl_chip_execute(struct tl_trap *trap) {
    (void)trap;
    return false;
}

void tl_trap(struct tl_trap *trap) {
    (void)tl_trap_instructions();
    entered = trap->entered;
    left = &trap->left;
    if (trap->cause != ILLEGAL_INSTRUCTION || !(tl_lx6_execute(trap) || tl_chip_execute(trap))) {
        tl_trap_fault(trap);
    }
}

uint64_t tl_trap_instructions(void) {
    if (left != NULL) {
        others += tl_instructions_between(entered, *left) + UNREAD_INSTRUCTIONS;
        left = NULL;
    }
    return others;
}

static const char hex_digits[] = "0123456789abcdef";

static void put_register(const char *name, uint32_t value) {
    uint8_t text[14] = {' ', ' ', ' ', ' ', ' ', ' '};
    for (uint32_t i = 0; name[i] != '\0'; i++) {
        text[1 + i] = (uint8_t)name[i];
    }
    for (uint32_t i = 0; i < 8; i++) {
        text[6 + i] = (uint8_t)hex_digits[value >> (28u - 4u * i) & 0xFu];
    }
    tl_port_write(text, sizeof text);
}

void tl_trap_fault(const struct tl_trap *trap) {
    static const char *const names[16] = {"a0", "a1", "a2",  "a3",  "a4",  "a5",  "a6",  "a7",
                                          "a8", "a9", "a10", "a11", "a12", "a13", "a14", "a15"};
    static const uint8_t begin[] = "\r\ntinyllm: fault", overflow[] = " stack overflow", end[] = "\r\n";
    tl_port_write(begin, sizeof begin - 1u);
    if (trap->cause == DEBUG_EXCEPTION && (trap->debug_cause & DATA_BREAKPOINT) != 0) {
        tl_port_write(overflow, sizeof overflow - 1u);
    } else {
        put_register("exc", trap->cause);
        put_register("addr", trap->address);
    }
    put_register("pc", trap->pc);
    put_register("ps", trap->ps);
    for (uint32_t i = 0; i < 16; i++) {
        put_register(names[i], trap->a[i]);
    }
    tl_port_write(end, sizeof end - 1u);
    tl_sim_exit(1);
}
