/* The byte stream of QEMU's Xtensa simulator, which needs no start. */
#include "bare.h"
#include "port.h"
#include "simcall.h"

#define WAIT_SECONDS 60u /* less than CCOUNT takes to wrap, so that the clock sees every wrap */

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
            tl_sim_exit(0); /* stdin has ended: the parent of QEMU is gone */
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
