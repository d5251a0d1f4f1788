/* Two rows in a byte, so that whole bytes meet the same numbers of an input as their halves do: the lower half is the code
 * of an even row + 8, the upper half that of the next row in two's complement. As a signed byte it is 16 times the upper
 * code plus the lower half.
 *
 * Eight rows are a group: 32 bytes for 32 columns of rows 0 and 1, of rows 2 and 3 and so on, then the next 32 columns;
 * behind them the scales, of eight rows for 32 columns. Each 32 columns of an input are a struct tl_int4_input.
 */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 8u
#define TL_INT4_INPUT_BYTES(columns) (((columns) + 31u) / 32u * 48u)

#endif
