/* Core 1. It is started by the handshake with its boot ROM (RP2040 datasheet, section 2.8.2; RP2350 datasheet, section
 * 5.3), and gets work through the FIFOs between the cores (RP2040 section 2.3.1.4, RP2350 section 3.1.5). A word from
 * core 0 asks for one part of a job; core 1 sends the word back when the part is done. A core that waits sleeps until
 * an event (WFE). A word in the FIFO is no event, so an event (SEV) follows each word. */
#include "second_core.h"

#include <stdbool.h>
#include <stdint.h>

#include "chip.h"
#include "parallel.h"
#include "placement.h"

#if TL_CORES > 1

#define FIFO_STATUS TL_REGISTER(0xD0000050u)
#define FIFO_WRITE TL_REGISTER(0xD0000054u)
#define FIFO_READ TL_REGISTER(0xD0000058u)
#define FIFO_RECEIVED (1u << 0)
#define FIFO_ROOM (1u << 1)

#define STACK_WORDS 384u
#define LAUNCH_LOOKS 20000u /* polls of the FIFO for the boot ROM's answer, which takes some hundred cycles */
#define LAUNCH_TRIES 100u

extern const uint32_t tl_vectors[];

/* Lies above core 0's stack: sections.ld. */
static uint32_t stack[STACK_WORDS] __attribute__((section(".stack1"), aligned(16)));
static bool running;

/* Sends a word. Earlier writes are visible to the other core before the word is. */
TL_HOT static void push(uint32_t word) {
    __asm__ volatile("dmb" ::: "memory");
    while ((FIFO_STATUS & FIFO_ROOM) == 0) {
    }
    FIFO_WRITE = word;
    __asm__ volatile("sev");
}

/* Waits for a word. Later reads see what the other core wrote before it sent the word. */
TL_HOT static uint32_t pop(void) {
    while ((FIFO_STATUS & FIFO_RECEIVED) == 0) {
        __asm__ volatile("wfe");
    }
    const uint32_t word = FIFO_READ;
    __asm__ volatile("dmb" ::: "memory");
    return word;
}

TL_HOT static void work(void) {
    for (;;) {
        const uint32_t word = pop();
        tl_parallel_other();
        push(word);
    }
}

/* Waits for the boot ROM's answer; whether it is the same word. */
static bool echoed(uint32_t word) {
    for (uint32_t look = 0; look < LAUNCH_LOOKS; look++) {
        if ((FIFO_STATUS & FIFO_RECEIVED) != 0) {
            return FIFO_READ == word;
        }
    }
    return false;
}

void tl_second_core_start(void) {
    const uint32_t words[] = {0, 0, 1, (uint32_t)tl_vectors, (uint32_t)(stack + STACK_WORDS), (uint32_t)work};
    uint32_t done = 0;
    for (uint32_t tries = 0; tries < LAUNCH_TRIES; tries++) {
        if (words[done] == 0) {
            while ((FIFO_STATUS & FIFO_RECEIVED) != 0) {
                (void)FIFO_READ;
            }
            __asm__ volatile("sev");
        }
        if ((FIFO_STATUS & FIFO_ROOM) == 0) {
            return;
        }
        push(words[done]);
        done = echoed(words[done]) ? done + 1u : 0;
        if (done == sizeof words / sizeof words[0]) {
            running = true;
            return;
        }
    }
}

TL_HOT bool tl_port_fork(void) {
    if (running) {
        push(1);
    }
    return running;
}

TL_HOT void tl_port_join(void) {
    (void)pop();
}

#endif
