/* The steps that rewrite a text before it is cut into words: see codegen/tokenizers/encode/rewrite.py. */
#ifndef TL_REWRITE_H
#define TL_REWRITE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_REWRITE_TOO_LONG UINT32_MAX

/* Takes the n bytes of text at the start of `out`, a buffer of `room` bytes, through all steps and returns the new
   length, or TL_REWRITE_TOO_LONG if the result of a step does not fit. */
uint32_t tl_rewrite(uint8_t *out, uint32_t n, uint32_t room);

#ifdef __cplusplus
}
#endif

#endif
