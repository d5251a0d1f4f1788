/* Arm's UART (PrimeCell UART PL011 Technical Reference Manual, chapter 3), which the RP2040 and the RP2350 have. */
#ifndef TL_PL011_H
#define TL_PL011_H

#include <stdint.h>

struct tl_pl011 {
    volatile uint32_t data, receive_status, reserved[4], flags, reserved_too, low_power, baud_whole, baud_fraction;
    volatile uint32_t line_control, control, fifo_levels, interrupt_mask;
};

#define TL_PL011_RX_EMPTY (1u << 4)
#define TL_PL011_TX_FULL (1u << 5)

/* 8 bits, FIFOs, and an interrupt when bytes have come. The baud rate is not set: an emulated line has none. */
static inline void tl_pl011_start(struct tl_pl011 *uart) {
    uart->line_control = 3u << 5 | 1u << 4;
    uart->interrupt_mask = 1u << 6 | 1u << 4; /* receive timeout, receive */
    uart->control = 1u << 9 | 1u << 8 | 1u;   /* receive, transmit, enable */
}

static inline int tl_pl011_read(struct tl_pl011 *uart) {
    return (uart->flags & TL_PL011_RX_EMPTY) != 0 ? -1 : (int)(uart->data & 0xFFu);
}

static inline void tl_pl011_write(struct tl_pl011 *uart, const uint8_t *bytes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        while (uart->flags & TL_PL011_TX_FULL) {
        }
        uart->data = bytes[i];
    }
}

#endif
