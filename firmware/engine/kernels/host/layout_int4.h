/* A group is eight rows of codes + 8. 32 bytes have four columns of row 0, then of row 1 and so on: these columns in
 * their lower halves and the next four in their upper halves. 128 bytes are 32 columns of a group. After all codes the
 * scales follow, of eight rows for each 32 columns. Each 32 columns of an input are a struct part (dot_groups_int4.c).
 */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 8u
#define TL_INT4_INPUT_BYTES(columns) (((columns) + 31u) / 32u * 36u)

#endif
