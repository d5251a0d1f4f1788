/* The second stage of the RP2040's boot (datasheet, section 2.8.1.3): the first 256 bytes of flash, the last four of
 * them a checksum that the boot ROM wants and emulators do not. The real one sets up the flash before it does this. */
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
