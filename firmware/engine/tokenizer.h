/* The tokenizer: turns text into tokens. codegen/tokenizers/encode/encoder.py is the specification. */
#ifndef TL_TOKENIZER_H
#define TL_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Returned if the text is over TL_TEXT_MAX bytes, before or after normalisation, or if its tokens do not fit. */
#define TL_ENCODE_TOO_LONG UINT32_MAX

/* Encodes text, any bytes, into at most `capacity` tokens and returns how many. bos: a conversation begins here, so BOS
   comes first if TL_ADD_BOS. Not reentrant, because its scratch is static. */
uint32_t tl_encode(const uint8_t *text, uint32_t n_bytes, bool bos, tl_token_t *tokens, uint32_t capacity);

/* The same for a text between two control tokens. first: no control token is before it. */
uint32_t tl_encode_section(const uint8_t *text, uint32_t n_bytes, bool first, tl_token_t *tokens, uint32_t capacity);

#ifdef __cplusplus
}
#endif

#endif
