/* Work in parts, on as many cores as the port has: the parts do not depend on each other, so however it is split the
 * result is the same.
 *
 * TL_CORES is 1 unless the project says otherwise; then there is no more here than a call. With 2 the port supplies
 * tl_port_fork and tl_port_join.
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

/* Does the parts first <= i < last of a job, on the core of that number. Both cores run it at once: it writes to nothing
 * that two parts share, but to scratch of its core. */
typedef void tl_part(const void *job, uint32_t first, uint32_t last, uint32_t core);

#if TL_CORES == 1

/* Does the parts 0 <= i < n. macs: multiplications, in all of them. */
static inline void tl_parallel(tl_part *part, const void *job, uint32_t n, uint32_t macs) {
    (void)macs;
    part(job, 0, n, 0);
}

#elif TL_CORES == 2

/* A job of fewer multiplications than this is not split: the other core would not have begun before it is done. */
#define TL_PARALLEL_MACS 512u

/* Does the parts 0 <= i < n, about half of them on the other core. macs: multiplications, in all of them. The job is
 * static, for the other core need not see this one's stack. */
void tl_parallel(tl_part *part, const void *job, uint32_t n, uint32_t macs);

/* What the other core does between tl_port_fork and tl_port_join. */
void tl_parallel_other(void);

/* Has the other core call tl_parallel_other once, which sees all that was written before; false if that core is not
 * ready, and then nothing happens. */
bool tl_port_fork(void);

/* Waits until tl_parallel_other has returned; all that it wrote is seen from now on. */
void tl_port_join(void);

#else
#error "TL_CORES is 1 or 2"
#endif

#ifdef __cplusplus
}
#endif

#endif
