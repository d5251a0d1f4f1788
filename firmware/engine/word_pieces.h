/* WordPiece: see codegen/tokenizers/encode/word_pieces.py. */
#ifndef TL_WORD_PIECES_H
#define TL_WORD_PIECES_H

#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TL_NO_PIECES UINT32_MAX

/* Cuts a word, with a space in front, into pieces. piece_length[i] becomes the length of the piece that begins at byte
   i. Returns where the first piece begins: at 0, or after " ##" if the word itself begins so and a piece that continues
   a word matches; or TL_NO_PIECES. */
uint32_t tl_word_pieces(const uint8_t *word, uint32_t n_bytes, tl_length_t *piece_length);

#ifdef __cplusplus
}
#endif

#endif
