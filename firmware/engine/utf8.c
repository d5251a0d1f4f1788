#include "utf8.h"

#include <stdbool.h>
#include <string.h>

/* Well-formed byte sequences: Unicode 15.0, table 3-7. The range of the second byte rules out overlong forms,
   surrogates and code points above U+10FFFF. */
uint32_t tl_utf8_length(const uint8_t *bytes, uint32_t n) {
    const uint8_t lead = bytes[0];
    const uint32_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (uint32_t i = 1; i < n && i < length; i++) {
        if (bytes[i] < low || bytes[i] > high) {
            return 0;
        }
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

static uint32_t put_replacement(uint8_t *out) {
    out[0] = 0xEF;
    out[1] = 0xBF;
    out[2] = 0xBD;
    return 3;
}

/* As tl_utf8_length, but the first two bytes of a surrogate wait for the third although it is invalid, as in Python. */
static uint32_t awaited_length(const struct tl_utf8 *gate) {
    const bool surrogate = gate->n == 2 && gate->pending[0] == 0xED && (gate->pending[1] & 0xE0) == 0xA0;
    return surrogate ? 3 : tl_utf8_length(gate->pending, gate->n);
}

uint32_t tl_utf8_code(const uint8_t *bytes, uint32_t n, uint32_t *length) {
    *length = tl_utf8_length(bytes, n);
    if (*length == 0 || *length > n) {
        *length = 1;
        return TL_NO_CHARACTER;
    }
    uint32_t code = *length == 1u ? bytes[0] : bytes[0] & (0x7Fu >> *length);
    for (uint32_t i = 1; i < *length; i++) {
        code = code << 6 | (bytes[i] & 0x3Fu);
    }
    return code;
}

uint32_t tl_utf8_put(uint32_t code, uint8_t *out) {
    if (code < 0x80u) {
        out[0] = (uint8_t)code;
        return 1;
    }
    const uint32_t length = code < 0x800u ? 2u : code < 0x10000u ? 3u : 4u;
    for (uint32_t i = length - 1u; i > 0; i--) {
        out[i] = (uint8_t)(0x80u | (code & 0x3Fu));
        code >>= 6;
    }
    out[0] = (uint8_t)((0xF00u >> length) | code);
    return length;
}

uint32_t tl_utf8_pass(struct tl_utf8 *gate, const uint8_t *bytes, uint32_t n, uint8_t *out) {
    uint32_t written = 0;
    for (uint32_t i = 0; i < n; i++) {
        gate->pending[gate->n++] = bytes[i];
        uint32_t length = awaited_length(gate);
        if (length == 0 && gate->n > 1) {
            /* This byte cuts the pending character short, and may begin a character itself. */
            gate->n--;
            written += tl_utf8_finish(gate, out + written);
            gate->pending[gate->n++] = bytes[i];
            length = awaited_length(gate);
        }
        if (length == 0) {
            written += tl_utf8_finish(gate, out + written);
        } else if (length == gate->n) {
            memcpy(out + written, gate->pending, length);
            written += length;
            gate->n = 0;
        }
    }
    return written;
}

uint32_t tl_utf8_finish(struct tl_utf8 *gate, uint8_t *out) {
    uint32_t written = 0;
    if (gate->n > 0) {
        written += put_replacement(out);
        if (tl_utf8_length(gate->pending, gate->n) == 0 && gate->n == 2) { /* the two bytes of a surrogate */
            written += put_replacement(out + written);
        }
    }
    gate->n = 0;
    return written;
}
