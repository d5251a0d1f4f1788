/* Counts the instructions that the emulator executes: Unicorn calls count_block at every basic block that it enters.
 * instruction_counter.py fills the structures. */
#include <stddef.h>
#include <stdint.h>

#include "../profile.h"

/* blocks: for every halfword of code, the block that was entered there: its bytes (high half), its instructions (low
   half). functions: the function of every halfword, if there is a profile. */
struct memory {
    uint64_t start, end;
    const uint8_t *bytes;
    uint32_t *blocks;
    const uint16_t *functions;
};
struct counter {
    uint64_t instructions, limit;
    int (*stop)(void *engine);
    uint64_t thumb;
    struct profile *profile; /* NULL if there is none */
    uint64_t n;
    struct memory code[4];
};

/* The first halfword of an instruction gives its length: Armv8-M Architecture Reference Manual, C1.2.2; RISC-V
   Unprivileged ISA, 1.5. */
static uint32_t count_instructions(const uint8_t *at, uint32_t size, uint64_t thumb) {
    const uint8_t *const end = at + size;
    uint32_t count = 0;
    while (at < end) {
        const int wide = thumb ? at[1] >= 0xE8 : (at[0] & 3) == 3;
        at += wide ? 4 : 2;
        count++;
    }
    return count;
}

void count_block(void *engine, uint64_t address, uint32_t size, void *data) {
    struct counter *const counter = data;
    for (uint64_t i = 0; i < counter->n; i++) {
        const struct memory *const code = &counter->code[i];
        if (address >= code->start && address + size <= code->end) {
            uint32_t *const block = &code->blocks[(address - code->start) / 2];
            if (*block >> 16 != size) {
                *block = size << 16 | count_instructions(code->bytes + (address - code->start), size, counter->thumb);
            }
            counter->instructions += *block & 0xFFFF;
            if (counter->profile != NULL) {
                const uint64_t function = code->functions[(address - code->start) / 2];
                profile_block(counter->profile, function, address, size, *block & 0xFFFF);
            }
            if (counter->instructions >= counter->limit) {
                counter->stop(engine);
            }
            return;
        }
    }
}
