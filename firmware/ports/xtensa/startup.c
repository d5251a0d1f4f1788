/* Reset and exceptions of an Xtensa LX106 (Xtensa Instruction Set Architecture Reference Manual, section 4.4.1), with
 * the vectors at the addresses that Espressif and QEMU use. trap.c handles the exceptions. No interrupt is ever
 * enabled.
 */
#include <stdint.h>

#include "bare.h"
#include "trap.h"

#define GUARD_STORES 0x80000000u /* DBREAKC of a data breakpoint that watches 64 bytes */
#define PS_RUNNING 0x20u /* user mode, no exception under way and no interrupt level, so that breakpoints count */

extern uint32_t tl_stack_bottom[];
extern const uint32_t tl_vectors[];

struct tl_trap tl_trap_record;
uint8_t tl_trap_stack[512] __attribute__((aligned(16)));

void tl_start(void) __attribute__((noreturn));

/* QEMU's LX106 starts at the first byte of the system ROM. */
__asm__(".section .reset, \"ax\"\n"
        ".global tl_reset\n"
        "tl_reset:\n"
        "    j 1f\n"
        "    .align 4\n"
        "top:   .word tl_stack_top\n"
        "start: .word tl_start\n"
        "1:  l32r a1, top\n"
        "    l32r a0, start\n"
        "    jx a0\n"
        ".text\n");

/* The program runs in user mode and trap.c in kernel mode. An exception in kernel mode is a fault of the emulated
 * instruction: its cause is reported with the program's registers. The literals take the 16 bytes before the first
 * vector. */
__asm__(".section .vectors, \"ax\"\n"
        ".global tl_vectors\n"
        "tl_vectors:\n"
        "record: .word tl_trap_record\n"
        "stack:  .word tl_trap_stack + 512\n"
        "trap:   .word tl_trap\n"
        "fault:  .word tl_trap_fault\n"
        "    .org 0x10\n" /* debug, for the guard and for break, which __builtin_trap is */
        "    wsr.excsave1 a0\n"
        "    rsr.epc2 a0\n"
        "    wsr.epc1 a0\n"
        "    movi a0, 63\n"
        "    wsr.exccause a0\n"
        "    j save\n"
        "    .org 0x30\n" /* kernel */
        "    l32r a2, record\n"
        "    rsr.exccause a3\n"
        "    s32i a3, a2, 72\n"
        "    rsr.excvaddr a3\n"
        "    s32i a3, a2, 76\n"
        "    l32r a1, stack\n"
        "    l32r a3, fault\n"
        "    jx a3\n"
        "    .org 0x50\n" /* user */
        "    wsr.excsave1 a0\n"
        "    j save\n"
        "    .org 0x70\n" /* double: a fault while one is reported; exit(2) */
        "    movi a2, 1\n"
        "    movi a3, 2\n"
        "    simcall\n"
        "    .org 0x80\n"
        "save:\n"
        "    l32r a0, record\n"
        "    s32i a1, a0, 4\n"
        "    s32i a2, a0, 8\n"
        "    rsr.ccount a2\n"
        "    s32i a2, a0, 88\n"
        "    s32i a3, a0, 12\n"
        "    s32i a4, a0, 16\n"
        "    s32i a5, a0, 20\n"
        "    s32i a6, a0, 24\n"
        "    s32i a7, a0, 28\n"
        "    s32i a8, a0, 32\n"
        "    s32i a9, a0, 36\n"
        "    s32i a10, a0, 40\n"
        "    s32i a11, a0, 44\n"
        "    s32i a12, a0, 48\n"
        "    s32i a13, a0, 52\n"
        "    s32i a14, a0, 56\n"
        "    s32i a15, a0, 60\n"
        "    rsr.excsave1 a2\n"
        "    s32i a2, a0, 0\n"
        "    rsr.epc1 a2\n"
        "    s32i a2, a0, 64\n"
        "    rsr.ps a2\n"
        "    s32i a2, a0, 68\n"
        "    rsr.exccause a2\n"
        "    s32i a2, a0, 72\n"
        "    rsr.excvaddr a2\n"
        "    s32i a2, a0, 76\n"
        "    rsr.debugcause a2\n"
        "    s32i a2, a0, 80\n"
        "    rsr.sar a2\n"
        "    s32i a2, a0, 84\n"
        "    movi a2, 0\n" /* kernel mode, no exception under way */
        "    wsr.ps a2\n"
        "    rsync\n"
        "    l32r a1, stack\n"
        "    l32r a3, trap\n"
        "    mov a2, a0\n"
        "    callx0 a3\n"
        "    l32r a0, record\n"
        "    movi a2, 0x20\n" /* PS_RUNNING */
        "    wsr.ps a2\n"
        "    rsync\n"
        "    l32i a2, a0, 84\n"
        "    wsr.sar a2\n"
        "    l32i a2, a0, 64\n"
        "    wsr.epc1 a2\n"
        "    l32i a1, a0, 4\n"
        "    l32i a3, a0, 12\n"
        "    l32i a4, a0, 16\n"
        "    l32i a5, a0, 20\n"
        "    l32i a6, a0, 24\n"
        "    l32i a7, a0, 28\n"
        "    l32i a8, a0, 32\n"
        "    l32i a9, a0, 36\n"
        "    l32i a10, a0, 40\n"
        "    l32i a11, a0, 44\n"
        "    l32i a12, a0, 48\n"
        "    l32i a13, a0, 52\n"
        "    l32i a14, a0, 56\n"
        "    l32i a15, a0, 60\n"
        "    rsr.ccount a2\n"
        "    s32i a2, a0, 92\n"
        "    l32i a2, a0, 8\n"
        "    l32i a0, a0, 0\n"
        "    rfe\n"
        ".text\n");

void tl_start(void) {
    __asm__ volatile("wsr.vecbase %0\n"
                     "wsr.ps %1\n"
                     "rsync" ::"r"(tl_vectors),
                     "r"(PS_RUNNING)
                     : "memory");
    tl_bare_start();
}

/* The stack has been painted by now. From here on a write to its last 64 bytes is an overflow. */
void tl_chip_start(void) {
    __asm__ volatile("wsr.dbreaka0 %0\n"
                     "wsr.dbreakc0 %1\n"
                     "dsync" ::"r"(tl_stack_bottom),
                     "r"(GUARD_STORES)
                     : "memory");
}
