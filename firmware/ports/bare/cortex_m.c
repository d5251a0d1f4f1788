/* Reset and faults of a Cortex-M (Armv6-M Architecture Reference Manual, B1.5). Interrupts stay masked: a pending
 * interrupt only ends a sleep. */
#ifdef __arm__

#include <stdint.h>

#include "bare.h"
#include "port.h"

extern uint32_t tl_stack_top[];

void tl_reset(void) __attribute__((noreturn));
void tl_fault_entry(void);
void tl_fault(const uint32_t *frame) __attribute__((noreturn, used));

struct vectors {
    uint32_t *stack;
    void (*handlers[15])(void);
};

/* Reset, NMI, HardFault and the other faults of Armv8-M. SVCall, PendSV and SysTick are not used, so they are faults
   too. */
const struct vectors tl_vectors __attribute__((section(".vectors"), used)) = {
    tl_stack_top,
    {tl_reset, tl_fault_entry, tl_fault_entry, tl_fault_entry, tl_fault_entry, tl_fault_entry, tl_fault_entry, 0, 0, 0,
     tl_fault_entry, tl_fault_entry, 0, tl_fault_entry, tl_fault_entry},
};

void tl_reset(void) {
    __asm__ volatile("cpsid i");
    tl_bare_start();
}

/* If little of the stack is left, it may have overflowed: the report then starts again at the top of the stack.
   Otherwise it goes on below, because the top may hold the stacked registers. */
__attribute__((naked)) void tl_fault_entry(void) {
    __asm__ volatile("mov r0, sp\n"
                     "ldr r1, =tl_stack_bottom + 256\n"
                     "cmp r0, r1\n"
                     "bhs 1f\n"
                     "ldr r1, =tl_stack_top\n"
                     "mov sp, r1\n"
                     "1: ldr r1, =tl_fault\n"
                     "bx r1\n");
}

static const char hex_digits[] = "0123456789abcdef";

static void put_register(const char *name, uint32_t value) {
    uint8_t text[14] = {' ', ' ', ' ', ' ', ' ', ' '};
    for (uint32_t i = 0; i < 4 && name[i] != '\0'; i++) {
        text[1 + i] = (uint8_t)name[i];
    }
    for (uint32_t i = 0; i < 8; i++) {
        text[6 + i] = (uint8_t)hex_digits[value >> (28u - 4u * i) & 0xFu];
    }
    tl_port_write(text, sizeof text);
}

/* frame: the registers that the processor stacked: r0 to r3, r12, lr, pc, xpsr. After an overflow the frame is below
   the stack. Then it is not read, because that would be a fault within a fault. */
void tl_fault(const uint32_t *frame) {
    static const char *const names[8] = {"r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr"};
    extern uint32_t tl_stack_bottom[];
    static const uint8_t begin[] = "\r\ntinyllm: fault", overflow[] = " stack overflow", end[] = "\r\n";
    tl_port_write(begin, sizeof begin - 1u);
    if (frame < tl_stack_bottom) {
        tl_port_write(overflow, sizeof overflow - 1u);
    } else {
        for (uint32_t i = 0; i < 8; i++) {
            put_register(names[i], frame[i]);
        }
    }
    tl_port_write(end, sizeof end - 1u);
    for (;;) {
        __asm__ volatile("wfi");
    }
}

#else

typedef int tl_not_cortex_m; /* ISO C requires a declaration in every file */

#endif
