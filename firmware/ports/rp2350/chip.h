/* Addresses of the RP2350 (RP2350 datasheet, sections 2.2, 7.5, 12.1 and 12.8). */
#ifndef TL_CHIP_H
#define TL_CHIP_H

#include <stdint.h>

#define TL_REGISTER(address) (*(volatile uint32_t *)(address))

#define RESETS_RESET TL_REGISTER(0x40020000u)
#define RESETS_DONE TL_REGISTER(0x40020008u)
#define RESET_TIMER (1u << 23) /* TIMER0 */
#define RESET_UART0 (1u << 26)

#define UART0 ((struct tl_pl011 *)0x40070000u)
#define UART0_INTERRUPT (1u << (33 - 32))

#define TIMER_HIGH TL_REGISTER(0x400B0024u)
#define TIMER_LOW TL_REGISTER(0x400B0028u)

#define NVIC_ENABLE TL_REGISTER(0xE000E104u)
#define NVIC_CLEAR TL_REGISTER(0xE000E284u)

#endif
