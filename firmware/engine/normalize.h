/* Normalises a text before it is cut into words: see codegen/tokenizers/encode/normalize.py. */
#ifndef TL_NORMALIZE_H
#define TL_NORMALIZE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_NORMAL_TOO_LONG UINT32_MAX

/* Writes the normalised text of one section of n_bytes to `out` and returns its length, or TL_NORMAL_TOO_LONG if it is
   over `room` bytes; room >= n_bytes + 1. first: the section is the start of the text. */
uint32_t tl_normalize(const uint8_t *text, uint32_t n_bytes, bool first, uint8_t *out, uint32_t room);

#ifdef __cplusplus
}
#endif

#endif
