/* Emulates the ESP32-S3's vector unit on a processor that has none: the instructions that the kernels use, bit-exact
 * (ESP32-S3 Technical Reference Manual, chapter "Processor Instruction Extensions"). Any other instruction of the unit
 * is a fault, as on a chip without the unit.
 *
 * Lane 0 of a register is its least significant byte, the one at the lowest address.
 */
#include <stdint.h>

#include "trap.h"

enum { REGISTERS = 8, WORDS = 4, VECTOR_BYTES = 16 };

/* The unit's registers. ACCX has 40 bits. */
static uint32_t q[REGISTERS][WORDS];
static int64_t accx;

#define ACCX_MAX (((int64_t)1 << 39) - 1)

static uint32_t bits(uint32_t word, uint32_t first, uint32_t n) {
    return word >> first & ((1u << n) - 1u);
}

static int32_t signed_bits(uint32_t value, uint32_t n) {
    return (int32_t)(value << (32u - n)) >> (32u - n);
}

static int64_t clamp(int64_t value, int64_t limit) {
    return value > limit ? limit : value < -limit - 1 ? -limit - 1 : value;
}

/* Loads 16 bytes, ignoring the lowest four bits of the address, then moves the address register by `step` vectors. */
static void load(uint32_t *vector, uint32_t *address, int32_t step) {
    const volatile uint32_t *from = (const volatile uint32_t *)(*address & ~(VECTOR_BYTES - 1u));
    for (uint32_t i = 0; i < WORDS; i++) {
        vector[i] = from[i];
    }
    *address += (uint32_t)step * VECTOR_BYTES;
}

/* ACCX += the sum over the 16 lanes of x * y, int8 each. */
static void multiply_accumulate(const uint32_t *x, const uint32_t *y) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t a = x[i], b = y[i];
        for (uint32_t lane = 0; lane < sizeof a; lane++, a >>= 8, b >>= 8) {
            sum += signed_bits(a, 8) * signed_bits(b, 8);
        }
    }
    accx = clamp(accx + sum, ACCX_MAX);
}

/* --- The instructions. Operands are scattered over the instruction word. a: the address registers --- */

/* EE.ZERO.ACCX */
static void zero_accx(uint32_t word, uint32_t *a) {
    (void)word;
    (void)a;
    accx = 0;
}

/* EE.VLD.128.IP qu, as, imm: loads; imm is -2048 to 2032 bytes. */
static void load_ip(uint32_t word, uint32_t *a) {
    const uint32_t u = bits(word, 20, 2) << 1 | bits(word, 15, 1);
    load(q[u], &a[bits(word, 4, 4)], signed_bits(bits(word, 22, 1) << 7 | bits(word, 8, 7), 8));
}

/* EE.VMULAS.S8.ACCX qx, qy */
static void multiply_accumulate_s8(uint32_t word, uint32_t *a) {
    (void)a;
    multiply_accumulate(q[bits(word, 8, 3)], q[bits(word, 14, 1) << 2 | bits(word, 11, 2)]);
}

/* EE.VMULAS.S8.ACCX.LD.IP qu, as, imm, qx, qy: multiplies, then loads, so that qu may be qx or qy; imm is -512 to
 * 496. */
static void multiply_accumulate_s8_load_ip(uint32_t word, uint32_t *a) {
    const uint32_t u = bits(word, 24, 2) << 1 | bits(word, 19, 1);
    const uint32_t x = bits(word, 0, 1) << 2 | bits(word, 14, 2);
    const uint32_t y = bits(word, 12, 2) << 1 | bits(word, 23, 1);
    multiply_accumulate(q[x], q[y]);
    load(q[u], &a[bits(word, 4, 4)], signed_bits(bits(word, 26, 2) << 4 | bits(word, 8, 4), 6));
}

/* EE.SRS.ACCX au, as, sel: ACCX >>= as, then au = ACCX saturated to int32. sel has no effect. */
static void shift_accx(uint32_t word, uint32_t *a) {
    accx >>= bits(a[bits(word, 4, 4)], 0, 6);
    a[bits(word, 8, 4)] = (uint32_t)(int32_t)clamp(accx, INT32_MAX);
}

/* EE.LD.ACCX.IP as, imm: ACCX is the lower 40 of the 64 bits at as, whose lowest three bits are ignored; imm is -1024
 * to 1016 bytes. */
static void load_accx_ip(uint32_t word, uint32_t *a) {
    uint32_t *address = &a[bits(word, 4, 4)];
    const volatile uint32_t *from = (const volatile uint32_t *)(*address & ~7u);
    const uint32_t lower = from[0];
    accx = (int64_t)signed_bits(from[1], 8) << 32 | lower;
    *address += (uint32_t)signed_bits(bits(word, 22, 1) << 7 | bits(word, 8, 7), 8) * 8u;
}

/* EE.ANDQ qa, qx, qy */
static void and_vectors(uint32_t word, uint32_t *a) {
    const uint32_t *x = q[bits(word, 6, 2) << 1 | bits(word, 4, 1)];
    const uint32_t *y = q[bits(word, 10, 2) << 1 | bits(word, 5, 1)];
    (void)a;
    for (uint32_t i = 0; i < WORDS; i++) {
        q[bits(word, 20, 2) << 1 | bits(word, 15, 1)][i] = x[i] & y[i];
    }
}

/* mask: the bits of the instruction word that belong to no operand. */
struct instruction {
    uint32_t mask, opcode, length;
    void (*execute)(uint32_t word, uint32_t *a);
};

static const struct instruction instructions[] = {
    {0xF077000Eu, 0xF002000Eu, 4, multiply_accumulate_s8_load_ip},
    {0x8F000Fu, 0x830004u, 3, load_ip},
    {0xFFFFFFu, 0x250804u, 3, zero_accx},
    {0xFFB00Fu, 0x7E1004u, 3, shift_accx},
    {0xFFA0FFu, 0x1A00C4u, 3, multiply_accumulate_s8},
    {0xCF730Fu, 0xCD3004u, 3, and_vectors},
    {0xBF800Fu, 0x0E0004u, 3, load_accx_ip},
};

bool tl_chip_execute(struct tl_trap *trap) {
    const uint8_t *code = (const uint8_t *)trap->pc;
    uint32_t length = (code[0] & 0xEu) == 0xEu ? 4 : 3, word = 0;
    for (uint32_t i = 0; i < length; i++) {
        word |= (uint32_t)code[i] << 8u * i;
    }
    for (uint32_t i = 0; i < sizeof instructions / sizeof *instructions; i++) {
        const struct instruction *found = &instructions[i];
        if (length == found->length && (word & found->mask) == found->opcode) {
            found->execute(word, trap->a);
            trap->pc += length;
            return true;
        }
    }
    return false;
}
