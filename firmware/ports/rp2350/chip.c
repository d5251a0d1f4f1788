/* UART0 and TIMER0 of the RP2350 (RP2350 datasheet, sections 7.5, 12.1 and 12.8). An image for emulators: clocks, pins
 * and the flash stay as they are after reset. */
#include "bare.h"
#include "pl011.h"
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RESETS_RESET REGISTER(0x40020000u)
#define RESETS_DONE REGISTER(0x40020008u)
#define RESET_TIMER0 (1u << 23)
#define RESET_UART0 (1u << 26)

#define UART0 ((struct tl_pl011 *)0x40070000u)
#define UART0_INTERRUPT (1u << (33 - 32))

#define TIMER_HIGH REGISTER(0x400B0024u)
#define TIMER_LOW REGISTER(0x400B0028u)

#define NVIC_ENABLE REGISTER(0xE000E104u)
#define NVIC_CLEAR REGISTER(0xE000E284u)

void tl_chip_start(void) {
    const uint32_t used = RESET_TIMER0 | RESET_UART0;
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
