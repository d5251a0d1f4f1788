/* The board's clock: CCOUNT of QEMU's LX106, 40 MHz of emulated time. If QEMU counts instructions
 * (host/virtual/qemu.py), each takes 32 ns of that time, the shortest that gives each a tick of its own, and counts as
 * a microsecond here. */
#include "clock.h"

#include "port.h"
#include "simcall.h"
#include "trap.h"

#define TICKS_PER_MICROSECOND 40u
/* A period is 32 ticks of 25 ns, which are 25 instructions of 32 ns. */
#define PERIOD_BITS 5u
#define PERIOD_INSTRUCTIONS 25u

/* The number of instructions that begin in the first `ticks` ticks of a period. */
static uint32_t begun(uint32_t ticks) {
    return (ticks * PERIOD_INSTRUCTIONS + (1u << PERIOD_BITS) - 1u) >> PERIOD_BITS;
}

/* Called by the trap that emulates an instruction, so it must not use an instruction that the LX106 lacks. */
uint32_t tl_instructions_between(uint32_t earlier, uint32_t later) {
    const uint32_t mask = (1u << PERIOD_BITS) - 1u, from = earlier & ~mask;
    return ((later - from) >> PERIOD_BITS) * PERIOD_INSTRUCTIONS + begun(later & mask) - begun(earlier & mask);
}

static inline uint32_t read_ccount(void) {
    uint32_t count;
    __asm__ volatile("rsr.ccount %0" : "=a"(count)::"memory");
    return count;
}

/* Reads CCOUNT after `value` has been computed. */
static inline uint32_t read_ccount_after(uint64_t value) {
    uint32_t count;
    __asm__ volatile("rsr.ccount %0" : "=a"(count) : "r"((uint32_t)value), "r"((uint32_t)(value >> 32)) : "memory");
    return count;
}

/* CCOUNT has 32 bits and wraps every 107 seconds, or 3.3e9 instructions; it is read more often than that. QEMU counts
 * instructions if its -append has a word. The clock then leaves out the instructions between the first and the last
 * reading in this function, whose number varies: with an instruction emulated just before, and with a carry or borrow
 * of 64 bits. So nothing is computed after the last reading: the next call subtracts what this one took. */
uint64_t tl_port_micros(void) {
    static uint64_t ticks, instructions, own;
    static uint32_t arguments, stood, went; /* stood, went: the last call's first and last reading of CCOUNT */
    if (arguments == 0) {
        arguments = tl_sim_arguments();
    }
    const uint32_t count = read_ccount();
    own += tl_instructions_between(stood, went);
    instructions += tl_instructions_between((uint32_t)ticks, count);
    ticks += count - (uint32_t)ticks;
    const uint64_t counted = instructions - own - tl_trap_instructions();
    const uint64_t micros = arguments > 1 ? counted : ticks / TICKS_PER_MICROSECOND;
    stood = count;
    went = read_ccount_after(micros);
    return micros;
}
