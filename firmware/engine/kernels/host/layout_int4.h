/* Four columns of eight rows after each other, codes + 8: 32 bytes have four columns in their lower halves and the next
 * four in their upper halves. 128 bytes are 32 columns of a group; behind all of them are the scales, of eight rows for 32
 * columns. Each 32 columns of an input are a struct tl_int4_input.
 */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 8u
#define TL_INT4_INPUT_BYTES(columns) (((columns) + 31u) / 32u * 36u)

#endif
