/* WordPiece: see codegen/tokenizers/encode/word_pieces.py. */
#ifndef TL_WORD_PIECES_H
#define TL_WORD_PIECES_H

#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TL_NO_PIECES UINT32_MAX

/* Cuts a word with a space in front into pieces: writes the length of each where it begins, and returns where the first
   begins, behind the name of a piece that goes on if the word begins with one; or TL_NO_PIECES. */
uint32_t tl_word_pieces(const uint8_t *word, uint32_t n_bytes, tl_length_t *piece_length);

#ifdef __cplusplus
}
#endif

#endif
