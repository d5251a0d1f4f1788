/* UTF-8 (RFC 3629): the lengths and codes of characters, and a gate that passes only whole characters. */
#ifndef TL_UTF8_H
#define TL_UTF8_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An unfinished character: its bytes so far, always fewer than it needs. All zero at the start. */
struct tl_utf8 {
    uint8_t pending[4];
    uint8_t n;
};

/* Room for the output of n bytes: at most one U+FFFD, three bytes, for each, and two more for the pending bytes. */
#define TL_UTF8_ROOM(n) (3u * ((n) + 2u))

/* The length of the character at `bytes`, 1 to 4, as far as the first n >= 1 bytes tell; 0 if no character begins with
   them. The character is whole if the length is at most n. */
uint32_t tl_utf8_length(const uint8_t *bytes, uint32_t n);

#define TL_NO_CHARACTER UINT32_MAX

/* The code point of the character at `bytes`, n >= 1 of them, and its length; TL_NO_CHARACTER and 1 if no whole
   character begins there. */
uint32_t tl_utf8_code(const uint8_t *bytes, uint32_t n, uint32_t *length);

/* Writes a character in UTF-8, at most 4 bytes, and returns its length. */
uint32_t tl_utf8_put(uint32_t code, uint8_t *out);

/* Passes n bytes through the gate into `out`, TL_UTF8_ROOM(n) bytes, and returns how many it wrote. An unfinished
   character waits for the next call. Each maximal invalid part becomes one U+FFFD (Unicode 15.0, section 3.9), as in
   Python's incremental decoder with errors="replace". */
uint32_t tl_utf8_pass(struct tl_utf8 *gate, const uint8_t *bytes, uint32_t n, uint8_t *out);

/* Ends the stream: pending bytes become U+FFFD. `out` has TL_UTF8_ROOM(0) bytes. Returns how many bytes it wrote. */
uint32_t tl_utf8_finish(struct tl_utf8 *gate, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
