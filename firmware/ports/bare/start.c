/* From reset to the console: fills .data and .bss, paints the stack to measure its use, and runs the console. */
#include "bare.h"

#include <stdbool.h>
#include <stdint.h>

#include "console.h"
#include "model.h"
#include "port.h"

#define PAINT 0x5AC3A53Cu
#define STACK_LIVE 64u /* words below the frame address that may be in use while the stack is painted */

/* Symbols of the linker script, each on a word boundary. */
extern uint32_t tl_data_start[], tl_data_end[], tl_bss_start[], tl_bss_end[], tl_stack_bottom[], tl_stack_top[];
extern const uint32_t tl_data_load[];

static uint32_t words_between(const uint32_t *from, const void *to) {
    return (uint32_t)(((uintptr_t)to - (uintptr_t)from) / sizeof *from);
}

static void copy_data(void) {
    const uint32_t n = words_between(tl_data_start, tl_data_end);
    for (uint32_t i = 0; i < n; i++) {
        tl_data_start[i] = tl_data_load[i];
    }
}

static void clear_bss(void) {
    const uint32_t n = words_between(tl_bss_start, tl_bss_end);
    for (uint32_t i = 0; i < n; i++) {
        tl_bss_start[i] = 0;
    }
}

static void paint_stack(void) {
    const uint32_t n = words_between(tl_stack_bottom, __builtin_frame_address(0)) - STACK_LIVE;
    for (uint32_t i = 0; i < n; i++) {
        tl_stack_bottom[i] = PAINT;
    }
}

#if defined(TL_WEIGHTS_APART)
/* The address of the weights and the bytes of room there. An emulator reads it to know where to put them. */
extern const volatile uint32_t tl_weights_place[2];
const volatile uint32_t tl_weights_place[2] = {TL_WEIGHTS_ADDRESS, TL_WEIGHTS_ROOM};
#endif

void tl_bare_start(void) {
    copy_data();
    clear_bss();
    paint_stack();
    tl_chip_start();
#if defined(TL_WEIGHTS_APART)
    tl_weights_attach((const uint8_t *)tl_weights_place[0], tl_weights_place[1]);
#endif
    tl_console_start();
    for (;;) {
        if (!tl_console_poll()) {
            tl_chip_wait();
        }
    }
}

bool tl_port_stack(uint32_t *used, uint32_t *size) {
    const uint32_t n = words_between(tl_stack_bottom, tl_stack_top);
    uint32_t untouched = 0;
    while (untouched < n && tl_stack_bottom[untouched] == PAINT) {
        untouched++;
    }
    *size = n * (uint32_t)sizeof(uint32_t);
    *used = (n - untouched) * (uint32_t)sizeof(uint32_t);
    return true;
}

void tl_port_thinking(bool thinking) {
    (void)thinking; /* an emulated chip has no LED */
}
