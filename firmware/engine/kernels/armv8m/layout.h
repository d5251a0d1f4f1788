/* A group is four rows: of every eight columns two words for each row, one for each four columns. The halves of a word
 * are 256 * code of column 1 + code of column 0, and the same of columns 3 and 2. An input has two words for four codes
 * (dot.h). */
#ifndef TL_LAYOUT_H
#define TL_LAYOUT_H

#define TL_GROUP_ROWS 4u
#define TL_INPUT_BYTES(columns) (((columns)*2u + 15u) & ~15u)

#endif
