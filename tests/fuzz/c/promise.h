/* What every fuzz target here shares: a way to say what must hold, and bytes taken from an input one after the other. */
#ifndef FUZZ_PROMISE_H
#define FUZZ_PROMISE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program if the condition does not hold: the fuzzer keeps the input. */
#define PROMISE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "broken promise: %s (%s:%d)\n", #condition, __FILE__, __LINE__);                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* An input that is read from its start. */
struct input {
    const uint8_t *bytes;
    size_t left;
};

/* The next byte; 0 behind the end. */
static inline uint8_t take_u8(struct input *input) {
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->bytes++;
}

static inline uint32_t take_u32(struct input *input) {
    uint32_t value = 0;
    for (uint32_t shift = 0; shift < 32; shift += 8) value |= (uint32_t)take_u8(input) << shift;
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
