/* UNIGRAM: cuts a word into the pieces whose scores have the largest sum: see codegen/tokenizers/encode/unigram.py. */
#ifndef TL_UNIGRAM_H
#define TL_UNIGRAM_H

#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* piece_length[i] becomes the length of the piece or unknown character that begins at byte i, 0 <= i < n_bytes;
   n_bytes <= TL_TEXT_MAX + 1. */
void tl_unigram_cut(const uint8_t *text, uint32_t n_bytes, tl_length_t *piece_length);

#ifdef __cplusplus
}
#endif

#endif
