/* A board in this process: bytes arrive, it is polled, and what it says is checked as it comes. */
#ifndef FUZZ_BOARD_H
#define FUZZ_BOARD_H

#include <stdbool.h>
#include <stdint.h>

/* What was heard since the start. */
struct board_heard {
    uint32_t frames;
    uint8_t reply[512]; /* the body of the last reply to board_ask */
    uint32_t n_reply;
    char text[64]; /* the last characters outside of frames, zero-terminated */
};
extern struct board_heard board_heard;

/* As at power on. frames_only: from the first frame on nothing else may be said. */
void board_start(bool frames_only);

/* These bytes arrive; then the board is polled so often. */
void board_receive(const uint8_t *bytes, uint32_t n, uint32_t polls);

/* A request arrives in a sound frame: n bytes of type, sequence and body. */
void board_request(const uint8_t *payload, uint32_t n, uint32_t polls);

/* Asks for something that is always answered, in an answer too: HELLO if type is 0x01, else a request without a body.
   The reply must be of this type. */
void board_ask(uint8_t type, uint8_t reply_type);

/* The frame of a payload as it goes over the wire, in at most n + n / 254 + 6 bytes; returns how many. */
uint32_t board_frame(const uint8_t *payload, uint32_t n, uint8_t *wire);

/* Decodes what stands between two zeros; bytes of type, sequence and body, 0 if it is no frame. */
uint32_t board_decode(const uint8_t *encoded, uint32_t n, uint8_t *payload);

/* Checks what the board has said since its last frame. */
void board_end(void);

#endif
