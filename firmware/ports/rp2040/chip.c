/* UART0 and the timer of the RP2040 (RP2040 datasheet, sections 2.14, 4.2 and 4.6). An image for emulators: clocks, pins
 * and the flash stay as they are after reset. */
#include "bare.h"
#include "pl011.h"
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RESETS_RESET REGISTER(0x4000C000u)
#define RESETS_DONE REGISTER(0x4000C008u)
#define RESET_TIMER (1u << 21)
#define RESET_UART0 (1u << 22)

#define UART0 ((struct tl_pl011 *)0x40034000u)
#define UART0_INTERRUPT (1u << 20)

#define TIMER_HIGH REGISTER(0x40054024u)
#define TIMER_LOW REGISTER(0x40054028u)

#define NVIC_ENABLE REGISTER(0xE000E100u)
#define NVIC_CLEAR REGISTER(0xE000E280u)

void tl_chip_start(void) {
    const uint32_t used = RESET_TIMER | RESET_UART0;
    RESETS_RESET &= ~used;
    while ((RESETS_DONE & used) != used) {
    }
    tl_pl011_start(UART0);
    NVIC_ENABLE = UART0_INTERRUPT;
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
