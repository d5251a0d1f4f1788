#include "simcall.h"

enum { SYS_EXIT = 1, SYS_READ = 3, SYS_WRITE = 4, SYS_SELECT_ONE = 29, SYS_ARGC = 1000 };
enum { STDIN = 0, STDOUT = 1 };
enum { SELECT_READ = 1 };

static int32_t simcall(uint32_t number, uint32_t first, uint32_t second, uint32_t third) {
    register uint32_t a2 __asm__("a2") = number;
    register uint32_t a3 __asm__("a3") = first;
    register uint32_t a4 __asm__("a4") = second;
    register uint32_t a5 __asm__("a5") = third;
    __asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
    return (int32_t)a2;
}

int32_t tl_sim_read(uint8_t *bytes, uint32_t n) {
    return simcall(SYS_READ, STDIN, (uint32_t)bytes, n);
}

int32_t tl_sim_write(const uint8_t *bytes, uint32_t n) {
    return simcall(SYS_WRITE, STDOUT, (uint32_t)bytes, n);
}

bool tl_sim_readable(uint32_t seconds) {
    const uint32_t limit[2] = {seconds, 0}; /* and microseconds */
    return simcall(SYS_SELECT_ONE, STDIN, SELECT_READ, (uint32_t)limit) > 0;
}

uint32_t tl_sim_arguments(void) {
    return (uint32_t)simcall(SYS_ARGC, 0, 0, 0);
}

void tl_sim_exit(uint32_t code) {
    for (;;) {
        (void)simcall(SYS_EXIT, code, 0, 0);
    }
}
