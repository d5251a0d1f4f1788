/* Where code and tables lie: TL_HOT marks a function that a token spends its time in, TL_TABLE a large constant.
 *
 * TL_HOT_SECTION is a section that the board's linker script copies to RAM at boot. The project defines it if there is RAM
 * for it: between two calls of a function the weights have passed through the flash's cache, and it has to be fetched anew.
 * Teensy's linker scripts copy every constant to RAM that is not in a section of this name (imxrt1062_t41.ld).
 */
#ifndef TL_PLACEMENT_H
#define TL_PLACEMENT_H

#ifdef TL_HOT_SECTION
#define TL_QUOTE(text) #text
#define TL_QUOTED(macro) TL_QUOTE(macro)
#define TL_HOT __attribute__((section(TL_QUOTED(TL_HOT_SECTION))))
#else
#define TL_HOT
#endif

#if defined(TEENSYDUINO) && defined(__IMXRT1062__)
#define TL_TABLE __attribute__((section(".progmem.tinyllm")))
#else
#define TL_TABLE
#endif

#endif
