/* A group is four rows of codes + 128, as codegen/kernels/armv6m.py packs them: of each pair of columns a word for rows
 * 0 and 1, and a word for rows 2 and 3. An input has three words for each pair of columns: dot_groups.c. */
#ifndef TL_LAYOUT_H
#define TL_LAYOUT_H

#define TL_GROUP_ROWS 4u
#define TL_PADDED(columns) (((columns) + 15u) & ~15u)
#define TL_PAIR_WORDS 3u /* of an input */
#define TL_INPUT_BYTES(columns) (TL_PADDED(columns) / 2u * TL_PAIR_WORDS * 4u)

#endif
