/* Looks up the vocabulary's pieces, by their bytes, slot or token id. */
#ifndef TL_PIECES_H
#define TL_PIECES_H

#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* No slot: see vocabulary.h. */
#define TL_NO_SLOT TL_NO_TOKEN

/* The slot of the piece with these bytes, if text may become it, or TL_NO_SLOT. */
tl_token_t tl_find_slot(const uint8_t *bytes, uint32_t length);

/* Points `bytes` to the bytes of the piece in a slot and returns how many it has. */
uint32_t tl_slot_bytes(uint32_t slot, const uint8_t **bytes);

/* Points `bytes` to the text that a token decodes to and returns its length in bytes: 0 for a control token. */
uint32_t tl_piece_text(uint32_t token, const uint8_t **bytes);

#if TL_ALGORITHM != TL_UNIGRAM
/* The rank of merging two symbols, which are `length` bytes together and the first of which has `left` bytes. The
   lowest rank merges first; TL_NO_RANK: they do not merge. */
tl_rank_t tl_join_rank(const uint8_t *bytes, uint32_t left, uint32_t length);
#endif

#ifdef __cplusplus
}
#endif

#endif
