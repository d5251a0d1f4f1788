/* The second stage of the RP2040's boot (datasheet, section 2.8.1.3), in the first 256 bytes of flash. The last four of
 * them are a checksum, which the boot ROM checks and emulators do not. A real second stage sets up the flash first. */
#include <stdint.h>

void tl_boot2(void);

__attribute__((naked, section(".boot2"), used)) void tl_boot2(void) {
    __asm__ volatile("ldr r0, =tl_vectors\n"
                     "ldr r1, =0xE000ED08\n" /* VTOR */
                     "str r0, [r1]\n"
                     "ldmia r0!, {r1, r2}\n"
                     "msr msp, r1\n"
                     "bx r2\n"
                     ".ltorg\n");
}
