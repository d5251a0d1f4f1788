/* A group is four rows of codes + 128: two columns of each row, then the next two. A word has two columns of two
 * rows. */
#ifndef TL_LAYOUT_H
#define TL_LAYOUT_H

#define TL_GROUP_ROWS 4u
/* Four words for every four columns. */
#define TL_INPUT_BYTES(columns) (((columns) + 3u) / 4u * 16u)

#endif
