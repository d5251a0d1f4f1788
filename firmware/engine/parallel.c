#include "parallel.h"

#include "placement.h"

#if TL_CORES == 2

/* The other core's half; it is waiting while this is written. */
static struct {
    tl_part *part;
    const void *job;
    uint32_t first, last;
} other;

TL_HOT void tl_parallel(tl_part *part, const void *job, uint32_t n, uint32_t macs) {
    const uint32_t half = n / 2u;
    other.part = part;
    other.job = job;
    other.first = half;
    other.last = n;
    if (n < 2 || macs < TL_PARALLEL_MACS || !tl_port_fork()) {
        part(job, 0, n, 0);
        return;
    }
    part(job, 0, half, 0);
    tl_port_join();
}

TL_HOT void tl_parallel_other(void) {
    other.part(other.job, other.first, other.last, 1);
}

#endif
