/* Cuts text into words by a published pattern: see codegen/tokenizers/encode/pretokenize.py. */
#ifndef TL_PRETOKENIZE_H
#define TL_PRETOKENIZE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The end of the word that begins at text[at]; at < end. Any bytes: a byte that is no UTF-8 counts as a character. */
uint32_t tl_word_end(const uint8_t *text, uint32_t at, uint32_t end);

#ifdef __cplusplus
}
#endif

#endif
