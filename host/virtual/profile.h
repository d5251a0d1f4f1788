/* Counts what each function of an image executes while a token is made. The counter of Unicorn and the plugin of QEMU
 * share it. profile.py prepares the tables and reads the counts. */
#ifndef TL_PROFILE_H
#define TL_PROFILE_H

#include <stdint.h>

/* Counting begins when a root is entered. It ends when the root returns, to the instruction behind its call. Meanwhile
 * the part is that of the last function entered that has a part, so a helper counts for its caller. A function that is
 * called through a veneer of the linker returns behind the call of the veneer. */
#define VENEER UINT64_MAX

struct profile {
    uint64_t *counts;       /* (parts, functions) */
    const uint8_t *part_of; /* (functions,); 0: the caller's part */
    const uint64_t *root;   /* (functions,): a root's first address, VENEER for a veneer, else 0 */
    uint64_t functions;
    uint64_t part;
    uint64_t back; /* the address to which the root returns; 0: no root runs */
    uint64_t end;  /* the end of the block before this one */
};

/* A basic block of `n` instructions begins in a function. */
static void profile_block(struct profile *profile, uint64_t function, uint64_t start, uint64_t size, uint64_t n) {
    if (profile->back == start) {
        profile->back = 0;
    } else if (profile->back == 0 && profile->root[function] == start) {
        profile->back = profile->end;
    }
    if (profile->root[function] != VENEER) {
        profile->end = start + size;
    }
    if (profile->back != 0) {
        if (profile->part_of[function] != 0) {
            profile->part = profile->part_of[function];
        }
        profile->counts[profile->part * profile->functions + function] += n;
    }
}

#endif
