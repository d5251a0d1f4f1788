/* UTF-8 (RFC 3629): where characters end, and a gate that lets only whole ones through. */
#ifndef TL_UTF8_H
#define TL_UTF8_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A character under way: the bytes that arrived so far, always fewer than it needs. All zero to begin with. */
struct tl_utf8 {
    uint8_t pending[4];
    uint8_t n;
};

/* Room for what n bytes can become: each a U+FFFD of three bytes, and two more for what was pending. */
#define TL_UTF8_ROOM(n) (3u * ((n) + 2u))

/* How many bytes the character at `bytes` needs, 1 to 4, judged by the first n >= 1; 0 if no character begins so.
   It is whole when the answer is at most n. */
uint32_t tl_utf8_length(const uint8_t *bytes, uint32_t n);

#define TL_NO_CHARACTER UINT32_MAX

/* The code of the character at `bytes`, n >= 1 of them, and its length; TL_NO_CHARACTER and 1 for a byte that begins
   none. */
uint32_t tl_utf8_code(const uint8_t *bytes, uint32_t n, uint32_t *length);

/* Writes a character in UTF-8, at most 4 bytes, and returns its length. */
uint32_t tl_utf8_put(uint32_t code, uint8_t *out);

/* Passes n bytes through the gate into `out`, TL_UTF8_ROOM(n) bytes, and returns how many came out. An unfinished
   character waits for the next call; each maximal invalid part becomes one U+FFFD (Unicode 15.0, section 3.9), as in
   Python's incremental decoder with errors="replace". */
uint32_t tl_utf8_pass(struct tl_utf8 *gate, const uint8_t *bytes, uint32_t n, uint8_t *out);

/* Ends the stream: what is pending becomes U+FFFD. `out` has TL_UTF8_ROOM(0) bytes. Returns how many came out. */
uint32_t tl_utf8_finish(struct tl_utf8 *gate, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
