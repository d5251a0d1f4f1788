/* A byte has the codes of two rows in one column, so the whole byte and its halves are multiplied by the same number of
 * the input. The lower half is the code of an even row plus 8, the upper half that of the next row in two's complement.
 * As a signed byte it is 16 times the upper code plus the lower half.
 *
 * A group is eight rows: 32 bytes for 32 columns of rows 0 and 1, then of rows 2 and 3 and so on, then the next 32
 * columns. After all columns the scales follow, of eight rows for each 32 columns. Each 32 columns of an input are a
 * struct tl_int4_input.
 */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 8u
#define TL_INT4_INPUT_BYTES(columns) (((columns) + 31u) / 32u * 48u)

#endif
