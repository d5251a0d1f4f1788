/* UART0 and TIMER0 of the nRF51 (nRF51 Series Reference Manual 3.0, chapters 29 and 18). */
#include "bare.h"
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define UART_STARTRX REGISTER(0x40002000u)
#define UART_STARTTX REGISTER(0x40002008u)
#define UART_RXDRDY REGISTER(0x40002108u)
#define UART_TXDRDY REGISTER(0x4000211Cu)
#define UART_INTENSET REGISTER(0x40002304u)
#define UART_ENABLE REGISTER(0x40002500u)
#define UART_RXD REGISTER(0x40002518u)
#define UART_TXD REGISTER(0x4000251Cu)
#define UART_ENABLED 4u
#define UART_RXDRDY_INTERRUPT (1u << 2)
#define UART_IRQ 2u

#define TIMER_START REGISTER(0x40008000u)
#define TIMER_CAPTURE REGISTER(0x40008040u)
#define TIMER_BITMODE REGISTER(0x40008508u)
#define TIMER_PRESCALER REGISTER(0x40008510u)
#define TIMER_CC REGISTER(0x40008540u)
#define TIMER_32_BITS 3u
#define TIMER_1_MHZ 4u /* 16 MHz / 2^4 */

/* Armv6-M Architecture Reference Manual, section B3.4 */
#define NVIC_ENABLE REGISTER(0xE000E100u)
#define NVIC_CLEAR_PENDING REGISTER(0xE000E280u)

void tl_chip_start(void) {
    UART_ENABLE = UART_ENABLED;
    UART_STARTRX = 1;
    UART_STARTTX = 1;
    UART_INTENSET = UART_RXDRDY_INTERRUPT;
    NVIC_ENABLE = 1u << UART_IRQ;
    TIMER_BITMODE = TIMER_32_BITS;
    TIMER_PRESCALER = TIMER_1_MHZ;
    TIMER_START = 1;
}

/* A masked interrupt wakes the core when it becomes pending. */
void tl_chip_wait(void) {
    NVIC_CLEAR_PENDING = 1u << UART_IRQ;
    if (UART_RXDRDY == 0) {
        __asm__ volatile("wfi");
    }
}

int tl_port_read(void) {
    if (UART_RXDRDY == 0) {
        return -1;
    }
    UART_RXDRDY = 0; /* cleared before the byte is read, because the next byte sets it again */
    return (int)(UART_RXD & 0xFFu);
}

void tl_port_write(const uint8_t *bytes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        UART_TXDRDY = 0;
        UART_TXD = bytes[i];
        while (UART_TXDRDY == 0) {
        }
    }
}

/* The timer has 32 bits and wraps every 71 minutes; an answer reads it far more often. */
uint64_t tl_port_micros(void) {
    static uint64_t micros;
    TIMER_CAPTURE = 1;
    micros += TIMER_CC - (uint32_t)micros;
    return micros;
}
