/* The byte stream and the clock of QEMU's Xtensa simulator; both are there from the start. */
#include "bare.h"
#include "port.h"
#include "simcall.h"

/* CCOUNT of QEMU's LX106 runs at 40 MHz of emulated time: 25 ns a tick. */
#define TICKS_PER_MICROSECOND 40u
#define TICK_NS 25u
/* With -icount shift=5 that time is instructions: the smallest shift that gives each one a tick of its own. */
#define INSTRUCTION_NS 32u
#define WAIT_SECONDS 60u /* less than CCOUNT takes to go round */

static uint8_t received[256] __attribute__((aligned(256)));
static int32_t n_received, n_taken;

void tl_chip_wait(void) {
    (void)tl_sim_readable(WAIT_SECONDS);
    (void)tl_port_micros();
}

int tl_port_read(void) {
    if (n_taken == n_received) {
        n_taken = n_received = 0;
        if (!tl_sim_readable(0)) {
            return -1;
        }
        n_received = tl_sim_read(received, sizeof received);
        if (n_received <= 0) {
            tl_sim_exit(0); /* whoever started us has gone */
        }
    }
    return received[n_taken++];
}

void tl_port_write(const uint8_t *bytes, uint32_t n) {
    while (n > 0) {
        const int32_t written = tl_sim_write(bytes, n);
        if (written <= 0) {
            tl_sim_exit(0);
        }
        bytes += written;
        n -= (uint32_t)written;
    }
}

/* CCOUNT has 32 bits, which go round every 107 seconds, or 3.3e9 instructions: it is read more often than that.
 * Where QEMU counts (host/virtual/qemu.py), -append has a word, and an instruction is a microsecond. */
uint64_t tl_port_micros(void) {
    static uint64_t ticks;
    static uint32_t arguments;
    uint32_t count;
    if (arguments == 0) {
        arguments = tl_sim_arguments();
    }
    __asm__ volatile("rsr.ccount %0" : "=a"(count));
    ticks += count - (uint32_t)ticks;
    return arguments > 1 ? (ticks * TICK_NS + INSTRUCTION_NS - 1) / INSTRUCTION_NS : ticks / TICKS_PER_MICROSECOND;
}
