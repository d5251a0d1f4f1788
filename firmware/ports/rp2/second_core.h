/* Core 1 of the RP2040 and the RP2350. */
#ifndef TL_SECOND_CORE_H
#define TL_SECOND_CORE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Starts core 1, which then waits for work. If it does not answer, core 0 computes alone. */
void tl_second_core_start(void);

#ifdef __cplusplus
}
#endif

#endif
