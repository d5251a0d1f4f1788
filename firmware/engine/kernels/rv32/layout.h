/* Two columns of eight rows after each other, codes + 128: a word has two rows and the two columns. */
#ifndef TL_LAYOUT_H
#define TL_LAYOUT_H

#define TL_GROUP_ROWS 8u
/* Six words for four columns. */
#define TL_INPUT_BYTES(columns) (((columns) + 3u) / 4u * 24u)

#endif
