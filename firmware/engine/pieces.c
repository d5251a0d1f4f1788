#include "pieces.h"

#include <string.h>

tl_token_t tl_find_slot(const uint8_t *bytes, uint32_t length) {
    const uint32_t stride = length + TL_JOINS; /* with the space in front */
    uint32_t low = 0, high = TL_PIECE_LENGTHS;
    while (low < high) { /* the first group of this length or more */
        const uint32_t middle = low + (high - low) / 2u;
        if (tl_piece_group[middle].length < stride) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    const struct tl_piece_group *group = &tl_piece_group[low]; /* the table has TL_PIECE_LENGTHS + 1 entries */
    if (group->length != stride) {
        return TL_NO_SLOT;
    }
    const uint8_t *pieces = tl_piece_bytes + group->offset;
    low = 0;
    high = group->n_sorted;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2u;
        const int order = memcmp(bytes, pieces + (size_t)middle * stride + TL_JOINS, length);
        if (order == 0) {
            return (tl_token_t)(group->first + middle);
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1u;
        }
    }
    return TL_NO_SLOT;
}

uint32_t tl_slot_bytes(uint32_t slot, const uint8_t **bytes) {
    uint32_t low = 0, high = TL_PIECE_LENGTHS;
    while (high - low > 1u) { /* the last group that begins at this slot or before */
        const uint32_t middle = low + (high - low) / 2u;
        if (tl_piece_group[middle].first <= slot) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const struct tl_piece_group *group = &tl_piece_group[low];
    *bytes = tl_piece_bytes + group->offset + (size_t)(slot - group->first) * group->length;
    return group->length;
}

uint32_t tl_piece_text(uint32_t token, const uint8_t **bytes) {
    uint32_t length = tl_slot_bytes(tl_token_slot[token], bytes);
    for (const tl_token_t *bare = tl_bare_token; *bare != TL_NO_TOKEN; bare++) {
        if (*bare == token) { /* without the space in front */
            ++*bytes;
            length--;
        }
    }
    return length;
}

#if TL_ALGORITHM == TL_PIECES
tl_rank_t tl_join_rank(const uint8_t *bytes, uint32_t left, uint32_t length) {
    (void)left;
    const tl_token_t slot = length <= TL_LONGEST_PIECE ? tl_find_slot(bytes, length) : TL_NO_SLOT;
    return slot == TL_NO_SLOT ? TL_NO_RANK : TL_SLOT_RANK(slot);
}
#elif TL_ALGORITHM == TL_PAIRS
tl_rank_t tl_join_rank(const uint8_t *bytes, uint32_t left, uint32_t length) {
    const tl_token_t slot = length <= TL_LONGEST_PIECE ? tl_find_slot(bytes, length) : TL_NO_SLOT;
    if (slot == TL_NO_SLOT) {
        return TL_NO_RANK;
    }
    uint32_t at = tl_merge_base[slot / TL_MERGE_STRIDE];
    for (uint32_t skip = slot % TL_MERGE_STRIDE; skip > 0; at++) {
        skip -= tl_merge_left[at] >= TL_MERGE_LAST;
    }
    for (uint32_t nth = 0;; nth++, at++) {
        const uint32_t split = tl_merge_left[at] & (TL_MERGE_LAST - 1u);
        if (split == left) {
            return TL_MERGE_RANK(slot, nth, at);
        }
        if (tl_merge_left[at] >= TL_MERGE_LAST) {
            return TL_NO_RANK;
        }
    }
}
#endif
