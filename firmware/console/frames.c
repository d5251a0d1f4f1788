#include "frames.h"

#include <stdbool.h>

#include "port.h"

#define BLOCK_MAX 254u /* bytes of data in a COBS block, after its code byte */
#define FULL_CODE 0xFFu

uint8_t tl_receive_buffer[TL_RECEIVE_MAX];

/* CRC-16/CCITT-FALSE, half a byte at a time: the remainder of each of the 16 values by the polynomial 0x1021. */
static uint16_t crc16(uint16_t crc, uint8_t byte) {
    static const uint16_t remainders[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
        0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
    };
    crc = (uint16_t)(crc << 4 ^ remainders[(crc >> 12 ^ byte >> 4) & 15]);
    return (uint16_t)(crc << 4 ^ remainders[(crc >> 12 ^ byte) & 15]);
}

#define CRC16_START 0xFFFFu

/* --- Receiving --- */

static struct {
    uint32_t length;    /* decoded bytes, including those that did not fit the buffer */
    uint8_t block_left; /* bytes of the COBS block that are still to come */
    bool zero_owed;     /* a zero follows the block, unless the frame ends with the block */
    uint16_t crc;       /* over all bytes but the last two */
    uint16_t tail;      /* the last two bytes: at the end, the frame's own CRC */
} incoming = {.crc = CRC16_START};

void tl_frame_drop(void) {
    incoming.length = 0;
    incoming.block_left = 0;
    incoming.zero_owed = false;
    incoming.crc = CRC16_START;
    incoming.tail = 0;
}

static void keep(uint8_t byte) {
    if (incoming.length >= 2) {
        incoming.crc = crc16(incoming.crc, (uint8_t)incoming.tail);
    }
    incoming.tail = (uint16_t)(incoming.tail >> 8 | byte << 8);
    if (incoming.length < TL_RECEIVE_MAX) {
        tl_receive_buffer[incoming.length] = byte;
    }
    if (incoming.length < UINT32_MAX) {
        incoming.length++;
    }
}

static enum tl_frame_result finish(struct tl_frame *frame) {
    const uint32_t length = incoming.length;
    const bool intact = incoming.block_left == 0 && length >= TL_FRAME_OVERHEAD && incoming.crc == incoming.tail;
    tl_frame_drop();
    if (length == 0) {
        return TL_FRAME_OPEN;
    }
    if (!intact) {
        return TL_FRAME_CORRUPT;
    }
    frame->type = tl_receive_buffer[0];
    frame->sequence = tl_receive_buffer[1];
    frame->body = tl_receive_buffer + 2;
    frame->n_body = length - TL_FRAME_OVERHEAD;
    return TL_FRAME_GOOD;
}

enum tl_frame_result tl_frame_take(uint8_t byte, struct tl_frame *frame) {
    if (byte == 0) {
        return finish(frame);
    }
    if (incoming.block_left > 0) {
        incoming.block_left--;
        keep(byte);
        return TL_FRAME_OPEN;
    }
    if (incoming.zero_owed) {
        keep(0);
    }
    incoming.block_left = (uint8_t)(byte - 1u);
    incoming.zero_owed = byte != FULL_CODE;
    return TL_FRAME_OPEN;
}

uint8_t tl_frame_type(void) {
    return incoming.length > 0 ? tl_receive_buffer[0] : 0;
}

uint32_t tl_frame_length(void) {
    return incoming.length;
}

/* --- Sending --- */

static struct {
    uint8_t bytes[BLOCK_MAX + 130u]; /* encoded bytes that are not sent yet, then the block under way */
    uint32_t length;
    uint32_t code; /* index of the code byte of the block under way */
    uint16_t crc;
} outgoing;

static void flush(void) {
    tl_port_write(outgoing.bytes, outgoing.length);
    outgoing.length = 0;
}

static void open_block(void) {
    if (outgoing.length + BLOCK_MAX + 2u > sizeof outgoing.bytes) {
        flush();
    }
    outgoing.code = outgoing.length++;
}

static void close_block(void) {
    outgoing.bytes[outgoing.code] = (uint8_t)(outgoing.length - outgoing.code);
}

/* A block closes before a zero, which its code then stands for, or when it is full and more bytes follow. */
static void encode(uint8_t byte) {
    if (outgoing.length - outgoing.code == FULL_CODE) {
        close_block();
        open_block();
    }
    if (byte == 0) {
        close_block();
        open_block();
    } else {
        outgoing.bytes[outgoing.length++] = byte;
    }
}

void tl_frame_begin(uint8_t type, uint8_t sequence) {
    outgoing.bytes[0] = 0;
    outgoing.length = 1;
    outgoing.crc = CRC16_START;
    open_block();
    tl_frame_put_u8(type);
    tl_frame_put_u8(sequence);
}

void tl_frame_put(const uint8_t *bytes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        tl_frame_put_u8(bytes[i]);
    }
}

void tl_frame_put_u8(uint8_t value) {
    outgoing.crc = crc16(outgoing.crc, value);
    encode(value);
}

void tl_frame_put_u32(uint32_t value) {
    for (uint32_t shift = 0; shift < 32; shift += 8) {
        tl_frame_put_u8((uint8_t)(value >> shift));
    }
}

void tl_frame_end(void) {
    encode((uint8_t)outgoing.crc);
    encode((uint8_t)(outgoing.crc >> 8));
    close_block();
    outgoing.bytes[outgoing.length++] = 0;
    flush();
}
