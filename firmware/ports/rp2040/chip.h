/* Addresses of the RP2040 (RP2040 datasheet, sections 2.2, 2.14, 4.2 and 4.6). */
#ifndef TL_CHIP_H
#define TL_CHIP_H

#include <stdint.h>

#define TL_REGISTER(address) (*(volatile uint32_t *)(address))

#define RESETS_RESET TL_REGISTER(0x4000C000u)
#define RESETS_DONE TL_REGISTER(0x4000C008u)
#define RESET_TIMER (1u << 21)
#define RESET_UART0 (1u << 22)

#define UART0 ((struct tl_pl011 *)0x40034000u)
#define UART0_INTERRUPT (1u << 20)

#define TIMER_HIGH TL_REGISTER(0x40054024u)
#define TIMER_LOW TL_REGISTER(0x40054028u)

#define NVIC_ENABLE TL_REGISTER(0xE000E100u)
#define NVIC_CLEAR TL_REGISTER(0xE000E280u)

#endif
