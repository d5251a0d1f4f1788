/* Sixteen rows a group, eight columns of a row in a word. Four rows lie together: of every eight columns a word for each
 * of the rows, and behind 32 columns their scales, a byte for each row. The columns of the last scale come first, as 16 if
 * there are no more. Behind four rows come the next four. An input has four words for eight columns, and before those of a
 * scale a word: dot_int4.h. */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 16u
#define TL_INT4_INPUT_BYTES(columns) ((((columns) + 15u) / 16u * 32u + ((columns) + 31u) / 32u * 4u + 15u) & ~15u)

#endif
