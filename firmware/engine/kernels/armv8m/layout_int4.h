/* A group is sixteen rows. A word has eight columns of a row. Four rows lie together: of every eight columns a word for
 * each row, and after each 32 columns the scales, a byte for each row. The columns of the last scale come first: 16 of
 * them if there are no more. Then the next four rows follow. An input has four words for every eight columns, and one
 * word before the columns of each scale: dot_int4.h. */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 16u
#define TL_INT4_INPUT_BYTES(columns) ((((columns) + 15u) / 16u * 32u + ((columns) + 31u) / 32u * 4u + 15u) & ~15u)

#endif
