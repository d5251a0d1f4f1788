/* The pieces of the vocabulary: by their bytes and by their number. */
#ifndef TL_PIECES_H
#define TL_PIECES_H

#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* No slot: see vocabulary.h. */
#define TL_NO_SLOT TL_NO_TOKEN

/* The slot of the piece with these bytes that text may become, or TL_NO_SLOT. */
tl_token_t tl_find_slot(const uint8_t *bytes, uint32_t length);

/* Points `bytes` to the bytes of the piece in a slot and returns how many they are. */
uint32_t tl_slot_bytes(uint32_t slot, const uint8_t **bytes);

/* Points `bytes` to what a token decodes to and returns how many bytes that is: none for a control token. */
uint32_t tl_piece_text(uint32_t token, const uint8_t **bytes);

#if TL_ALGORITHM != TL_UNIGRAM
/* The rank of joining the first `left` bytes, one symbol, with the rest of `length` bytes, another: the lower the
   sooner, or TL_NO_RANK if they do not join. */
tl_rank_t tl_join_rank(const uint8_t *bytes, uint32_t left, uint32_t length);
#endif

#ifdef __cplusplus
}
#endif

#endif
