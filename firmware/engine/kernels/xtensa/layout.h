/* Two columns of four rows after each other, codes + 128: a word has two rows and the two columns. */
#ifndef TL_LAYOUT_H
#define TL_LAYOUT_H

#define TL_GROUP_ROWS 4u
/* Four words for four columns. */
#define TL_INPUT_BYTES(columns) (((columns) + 3u) / 4u * 16u)

#endif
