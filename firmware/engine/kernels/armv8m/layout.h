/* Four rows a group, four columns at a time: a word for each row, whose halves are 256 * code of column 1 + code of
 * column 0, and of columns 3 and 2. An input has two words for four codes, as tl_expand says. */
#ifndef TL_LAYOUT_H
#define TL_LAYOUT_H

#define TL_GROUP_ROWS 4u
#define TL_INPUT_BYTES(columns) (((columns)*2u + 15u) & ~15u)

#endif
