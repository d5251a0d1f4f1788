/* Placement of code and tables: TL_HOT marks the functions that take most of a token's time, TL_TABLE large constants.
 *
 * TL_HOT_SECTION is a section that the board's linker script copies to RAM at boot. The project defines it if there is
 * enough RAM. Code in flash would be slow: between two calls the weights push it out of the flash's cache, so it has to
 * be fetched again.
 *
 * Teensy's linker script (imxrt1062_t41.ld) copies every constant to RAM, except those in a section named .progmem.
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
