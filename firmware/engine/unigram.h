/* The cut of a word into pieces whose scores have the largest sum: see codegen/tokenizers/encode/unigram.py. */
#ifndef TL_UNIGRAM_H
#define TL_UNIGRAM_H

#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the length of each piece or unknown character at the byte where it begins; n_bytes <= TL_TEXT_MAX + 1. */
void tl_unigram_cut(const uint8_t *text, uint32_t n_bytes, tl_length_t *piece_length);

#ifdef __cplusplus
}
#endif

#endif
