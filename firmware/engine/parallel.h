/* Splits work into parts for the cores of the chip. The parts do not depend on each other, so the result is the same
 * for any split.
 *
 * TL_CORES is 1 unless the project defines it; tl_parallel is then a plain call. With 2 the port supplies tl_port_fork
 * and tl_port_join.
 */
#ifndef TL_PARALLEL_H
#define TL_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef TL_CORES
#define TL_CORES 1
#endif

/* Does the parts first <= i < last of a job on core number `core`. Both cores run it at the same time, so it writes
 * only to memory of its own parts and to the scratch of its core. */
typedef void tl_part(const void *job, uint32_t first, uint32_t last, uint32_t core);

#if TL_CORES == 1

/* Does the parts 0 <= i < n. macs: multiplications in all parts together. */
static inline void tl_parallel(tl_part *part, const void *job, uint32_t n, uint32_t macs) {
    (void)macs;
    part(job, 0, n, 0);
}

#elif TL_CORES == 2

/* A job of fewer multiplications is not split, because it would end before the other core had begun. */
#define TL_PARALLEL_MACS 512u

/* Does the parts 0 <= i < n, about half of them on the other core. macs: multiplications in all parts together. The job
 * is static, because the other core may be unable to see this core's stack. */
void tl_parallel(tl_part *part, const void *job, uint32_t n, uint32_t macs);

/* The other core's half of the work, between tl_port_fork and tl_port_join. */
void tl_parallel_other(void);

/* Makes the other core call tl_parallel_other once. That call sees all earlier writes of this core. Returns false, and
 * does nothing, if the other core is not ready. */
bool tl_port_fork(void);

/* Waits until tl_parallel_other has returned. From then on this core sees all of its writes. */
void tl_port_join(void);

#else
#error "TL_CORES is 1 or 2"
#endif

#ifdef __cplusplus
}
#endif

#endif
