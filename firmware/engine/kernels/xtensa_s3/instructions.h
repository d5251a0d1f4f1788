/* Instructions of the ESP32-S3 that the kernels use, as statements. They are written as bytes, because not every Xtensa
 * assembler knows their names. So a chip and its virtual twin run the same code. docs/evidence/xtensa-instructions.md
 * says how the encodings were checked. Other processors do not have them, and the kernels then use portable C.
 *
 * A vector is 16 bytes in one of the registers 0 to 7 of the vector unit (PIE). The compiler does not use these
 * registers, but an operating system may lose their values when a function blocks. Loads ignore the lowest four bits of
 * the address.
 */
#ifndef TL_INSTRUCTIONS_H
#define TL_INSTRUCTIONS_H

#include <stdint.h>

#if defined(__XTENSA__)

/* Assembler macros, named and used like the instructions. gas evaluates & and | from left to right, hence the
 * parentheses. */
__asm__(
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    ".set .Ltl_a\\n, \\n\n"
    ".set .Ltl_q\\n, \\n\n"
    ".endr\n"
    ".macro tl_word3 word\n"
    ".byte (\\word)&255, ((\\word)>>8)&255, ((\\word)>>16)&255\n"
    ".endm\n"
    ".macro tl_word4 word\n"
    ".byte (\\word)&255, ((\\word)>>8)&255, ((\\word)>>16)&255, ((\\word)>>24)&255\n"
    ".endm\n"
    ".macro tl_mulsh r, s, t\n"
    "tl_word3 0xB20000|(.Ltl_\\r<<12)|(.Ltl_\\s<<8)|(.Ltl_\\t<<4)\n"
    ".endm\n"
    ".macro tl_ee_zero_accx\n"
    "tl_word3 0x250804\n"
    ".endm\n"
    ".macro tl_ee_vld_128_ip u, s, imm\n"
    "tl_word3 "
    "0x830004|((.Ltl_\\u>>1)<<20)|((.Ltl_\\u&1)<<15)|(.Ltl_\\s<<4)|(((\\imm>>4)&127)<<8)|(((\\imm>>11)&1)<<22)\n"
    ".endm\n"
    ".macro tl_ee_vmulas_s8_accx x, y\n"
    "tl_word3 0x1A00C4|(.Ltl_\\x<<8)|((.Ltl_\\y>>2)<<14)|((.Ltl_\\y&3)<<11)\n"
    ".endm\n"
    ".macro tl_ee_vmulas_s8_accx_ld_ip u, s, imm, x, y\n"
    "tl_word4 0xF002000E|((.Ltl_\\u>>1)<<24)|((.Ltl_\\u&1)<<19)|(.Ltl_\\s<<4)|(((\\imm>>4)&15)<<8)|(((\\imm>>8)&3)<<26)"
    "|(.Ltl_\\x>>2)|((.Ltl_\\x&3)<<14)|((.Ltl_\\y>>1)<<12)|((.Ltl_\\y&1)<<23)\n"
    ".endm\n"
    ".macro tl_ee_srs_accx u, s, sel\n"
    "tl_word3 0x7E1004|(.Ltl_\\u<<8)|(.Ltl_\\s<<4)|(\\sel<<14)\n"
    ".endm\n"
    ".macro tl_ee_ld_accx_ip s, imm\n"
    "tl_word3 0x0E0004|(.Ltl_\\s<<4)|(((\\imm>>3)&127)<<8)|(((\\imm>>10)&1)<<22)\n"
    ".endm\n"
    ".macro tl_ee_andq a, x, y\n"
    "tl_word3 0xCD3004|((.Ltl_\\a>>1)<<20)|((.Ltl_\\a&1)<<15)|((.Ltl_\\x>>1)<<6)|((.Ltl_\\x&1)<<4)|((.Ltl_\\y>>1)<<10)"
    "|((.Ltl_\\y&1)<<5)\n"
    ".endm\n");

/* The high word of a product. */
static inline int32_t tl_multiply_high(int32_t a, int32_t b) {
    int32_t high;
    __asm__("tl_mulsh %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
}

/* ACCX = 0. It has 40 bits. */
#define PIE_ZERO_ACCX() __asm__ volatile("tl_ee_zero_accx")

/* q[u] = the vector at address; address += 16. u, x and y are digits, address is a pointer variable. */
#define PIE_LOAD(u, address) __asm__ volatile("tl_ee_vld_128_ip q" #u ", %0, 16" : "+r"(address)::"memory")

/* ACCX += the sum over the 16 lanes of q[x] * q[y], int8 each */
#define PIE_MULTIPLY(x, y) __asm__ volatile("tl_ee_vmulas_s8_accx q" #x ", q" #y)

/* PIE_MULTIPLY(x, y), then PIE_LOAD(u, address), in one instruction: u may be x or y */
#define PIE_MULTIPLY_LOAD(u, address, x, y)                                                                            \
    __asm__ volatile("tl_ee_vmulas_s8_accx_ld_ip q" #u ", %0, 16, q" #x ", q" #y : "+r"(address)::"memory")

/* ACCX = the lower 40 of the 64 bits at address. */
#define PIE_LOAD_ACCX(address) __asm__ volatile("tl_ee_ld_accx_ip %0, 0" : "+r"(address)::"memory")

/* q[u] = q[x] & q[y] */
#define PIE_AND(u, x, y) __asm__ volatile("tl_ee_andq q" #u ", q" #x ", q" #y)

/* ACCX >>= shift, then value = ACCX, saturated. value is an int32_t variable, shift a uint32_t. */
#define PIE_READ_ACCX(value, shift) __asm__ volatile("tl_ee_srs_accx %0, %1, 0" : "=r"(value) : "r"(shift))

#else

static inline int32_t tl_multiply_high(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b) >> 32);
}

#endif

#endif
