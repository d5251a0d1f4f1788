/* UART0 and the system timer of the ESP32-C3 (Technical Reference Manual, chapters 26 and 10). The image is for
 * emulators: clocks, pins, watchdogs and the interrupt matrix stay as they are after reset. */
#include "bare.h"
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define UART_FIFO REGISTER(0x60000000u)
#define UART_STATUS REGISTER(0x6000001Cu)
#define RECEIVED(status) (0x3FFu & (status))
#define TO_SEND(status) ((status) >> 16 & 0x3FFu)
#define FIFO_SIZE 128u

#define SYSTIMER_UNIT0 REGISTER(0x60023004u)
#define SYSTIMER_HIGH REGISTER(0x60023040u)
#define SYSTIMER_LOW REGISTER(0x60023044u)
#define SYSTIMER_UPDATE (1u << 30)
#define SYSTIMER_VALID (1u << 29)
#define TICKS_PER_MICROSECOND 16u

void tl_chip_start(void) {
    /* Both devices run already, because the boot ROM has used them. */
}

void tl_chip_wait(void) {
    __asm__ volatile("wfi");
}

int tl_port_read(void) {
    return RECEIVED(UART_STATUS) == 0 ? -1 : (int)(UART_FIFO & 0xFFu);
}

void tl_port_write(const uint8_t *bytes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        while (TO_SEND(UART_STATUS) >= FIFO_SIZE) {
        }
        UART_FIFO = bytes[i];
    }
}

uint64_t tl_port_micros(void) {
    SYSTIMER_UNIT0 = SYSTIMER_UPDATE;
    while (!(SYSTIMER_UNIT0 & SYSTIMER_VALID)) {
    }
    return ((uint64_t)SYSTIMER_HIGH << 32 | SYSTIMER_LOW) / TICKS_PER_MICROSECOND;
}
