/* Reset and exceptions of an Xtensa LX106 (Xtensa Instruction Set Architecture Reference Manual, section 4.4.1), with the
 * vectors at the addresses that Espressif and QEMU use. Every exception is a fault: nobody enables an interrupt. */
#include <stdint.h>

#include "bare.h"
#include "port.h"
#include "simcall.h"

#define DEBUG_EXCEPTION 63u      /* the highest EXCCAUSE, which no processor uses; DEBUGCAUSE tells more */
#define DATA_BREAKPOINT 4u       /* DEBUGCAUSE: the stack's guard was touched; else it was a break instruction */
#define GUARD_STORES 0x80000000u /* DBREAKC of a data breakpoint that watches 64 bytes */
#define PS_RUNNING 0x20u /* user mode, no exception under way and no interrupt level, so that breakpoints count */

extern uint32_t tl_stack_bottom[];
extern const uint32_t tl_vectors[];

struct fault {
    uint32_t a[16];
    uint32_t pc, ps, cause, address, debug_cause;
};

struct fault tl_fault_record;
uint8_t tl_fault_stack[512] __attribute__((aligned(16)));

void tl_start(void) __attribute__((noreturn));
void tl_fault(const struct fault *fault) __attribute__((noreturn));

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

/* The literals take the 16 bytes before the first vector. */
__asm__(".section .vectors, \"ax\"\n"
        ".global tl_vectors\n"
        "tl_vectors:\n"
        "record: .word tl_fault_record\n"
        "stack:  .word tl_fault_stack + 512\n"
        "report: .word tl_fault\n"
        "    .org 0x10\n" /* debug, for the guard and for break, which __builtin_trap is */
        "    wsr.excsave1 a0\n"
        "    rsr.epc2 a0\n"
        "    wsr.epc1 a0\n"
        "    movi a0, 63\n"
        "    wsr.exccause a0\n"
        "    j save\n"
        "    .org 0x30\n" /* kernel */
        "    wsr.excsave1 a0\n"
        "    j save\n"
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
        "    l32r a1, stack\n"
        "    l32r a3, report\n"
        "    mov a2, a0\n"
        "    jx a3\n"
        ".text\n");

void tl_start(void) {
    __asm__ volatile("wsr.vecbase %0\n"
                     "wsr.ps %1\n"
                     "rsync" ::"r"(tl_vectors),
                     "r"(PS_RUNNING)
                     : "memory");
    tl_bare_start();
}

/* The stack has been painted: from now on who writes to its last 64 bytes has overflowed it. */
void tl_chip_start(void) {
    __asm__ volatile("wsr.dbreaka0 %0\n"
                     "wsr.dbreakc0 %1\n"
                     "dsync" ::"r"(tl_stack_bottom),
                     "r"(GUARD_STORES)
                     : "memory");
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

void tl_fault(const struct fault *fault) {
    static const char *const names[16] = {"a0", "a1", "a2",  "a3",  "a4",  "a5",  "a6",  "a7",
                                          "a8", "a9", "a10", "a11", "a12", "a13", "a14", "a15"};
    static const uint8_t begin[] = "\r\ntinyllm: fault", overflow[] = " stack overflow", end[] = "\r\n";
    tl_port_write(begin, sizeof begin - 1u);
    if (fault->cause == DEBUG_EXCEPTION && (fault->debug_cause & DATA_BREAKPOINT) != 0) {
        tl_port_write(overflow, sizeof overflow - 1u);
    } else {
        put_register("exc", fault->cause);
        put_register("addr", fault->address);
    }
    put_register("pc", fault->pc);
    put_register("ps", fault->ps);
    for (uint32_t i = 0; i < 16; i++) {
        put_register(names[i], fault->a[i]);
    }
    tl_port_write(end, sizeof end - 1u);
    tl_sim_exit(1);
}
