/* Instructions of the LX6 and the LX7 that the LX106 lacks: high halves of products, quotients and remainders (Xtensa
 * Instruction Set Architecture Reference Manual, 32-bit Integer Multiply and Divide Options). They are written as
 * bytes, because the LX106's assembler does not know them. */
#ifndef TL_LX6_H
#define TL_LX6_H

#include <stdbool.h>
#include <stdint.h>

#include "trap.h"

/* op: the instruction's number. r, s, t: registers, by the names that the compiler writes. */
__asm__(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        ".set .Llx6_a\\n, \\n\n"
        ".endr\n"
        ".macro lx6 op, r, s, t\n"
        ".byte .Llx6_\\t<<4, (.Llx6_\\r<<4)|.Llx6_\\s, (\\op<<4)|2\n"
        ".endm\n");

#define TL_LX6(name, type, op)                                                                                         \
    static inline type tl_##name(type s, type t) {                                                                     \
        type r;                                                                                                        \
        __asm__ volatile("lx6 " #op ", %0, %1, %2" : "=r"(r) : "r"(s), "r"(t));                                        \
        return r;                                                                                                      \
    }

TL_LX6(muluh, uint32_t, 10) /* the high half of the product */
TL_LX6(mulsh, int32_t, 11)
TL_LX6(quou, uint32_t, 12) /* towards zero; a divisor of 0 is a fault */
TL_LX6(quos, int32_t, 13)
TL_LX6(remu, uint32_t, 14)
TL_LX6(rems, int32_t, 15) /* has the sign of the dividend */

#undef TL_LX6

/* As tl_chip_execute, for the instructions of this file. */
bool tl_lx6_execute(struct tl_trap *trap);

#endif
