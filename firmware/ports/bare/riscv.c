/* Reset of a RISC-V core: sets stack and global pointer before any C (RISC-V psABI, "Global-pointer relative"). */
#ifdef __riscv

#include "bare.h"

void tl_reset(void);

__attribute__((naked, section(".reset"))) void tl_reset(void) {
    __asm__ volatile(".option push\n"
                     ".option norelax\n"
                     "la gp, __global_pointer$\n"
                     ".option pop\n"
                     "la sp, tl_stack_top\n"
                     "tail tl_bare_start\n");
}

#else

typedef int tl_not_riscv; /* ISO C requires a declaration in every file */

#endif
