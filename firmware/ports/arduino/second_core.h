/* The second core, if TL_CORES is 2: tl_port_fork and tl_port_join of parallel.h. */
#ifndef TL_SECOND_CORE_H
#define TL_SECOND_CORE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Call it once, from setup(). Until the other core is ready, this one computes alone. */
void tl_second_core_start(void);

#ifdef __cplusplus
}
#endif

#endif
