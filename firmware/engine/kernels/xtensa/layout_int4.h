/* A group is eight rows of codes + 8: four columns of each row, then the next four columns. A word has four columns of
 * two rows, which are 16 bits apart. After each 32 columns the scales of the eight rows follow.
 */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 8u
/* For every 32 columns a word, and half a word for each column. */
#define TL_INT4_INPUT_BYTES(columns) (((columns) + 31u) / 32u * 68u)

#endif
