/* Four columns of eight rows after each other, codes + 8: a word has two rows, 16 bits apart, and the four columns. Behind
 * 32 columns are the scales of the rows.
 */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 8u
/* A word for each column, and one. */
#define TL_INT4_INPUT_BYTES(columns) (((columns) + 31u) / 32u * 132u)

#endif
