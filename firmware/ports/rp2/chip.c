/* UART0 and the timer of the RP2040 and the RP2350; chip.h has the addresses of each. The image is for emulators:
 * clocks, pins and the flash stay as they are after reset. */
#include "chip.h"

#include "bare.h"
#include "parallel.h"
#include "pl011.h"
#include "port.h"
#include "second_core.h"

void tl_chip_start(void) {
    const uint32_t used = RESET_TIMER | RESET_UART0;
    RESETS_RESET &= ~used;
    while ((RESETS_DONE & used) != used) {
    }
    tl_pl011_start(UART0);
    NVIC_ENABLE = UART0_INTERRUPT;
#if TL_CORES > 1
    tl_second_core_start();
#endif
}

/* A masked interrupt wakes the core when it becomes pending. */
void tl_chip_wait(void) {
    NVIC_CLEAR = UART0_INTERRUPT;
    __asm__ volatile("wfi");
}

int tl_port_read(void) {
    return tl_pl011_read(UART0);
}

void tl_port_write(const uint8_t *bytes, uint32_t n) {
    tl_pl011_write(UART0, bytes, n);
}

uint64_t tl_port_micros(void) {
    uint32_t high = TIMER_HIGH;
    for (;;) {
        const uint32_t low = TIMER_LOW;
        const uint32_t again = TIMER_HIGH;
        if (again == high) {
            return (uint64_t)high << 32 | low;
        }
        high = again;
    }
}
