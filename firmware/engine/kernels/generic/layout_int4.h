/* A group is eight rows: 16 bytes for 32 columns of row 0, then of row 1 and so on, then the next 32 columns. After all
 * columns the scales follow in the same order. Byte i has column i in its lower half and column i + 16 in its upper
 * half. An input is its codes, filled up with zeros to a multiple of 32.
 */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 8u
#define TL_INT4_INPUT_BYTES(columns) (((columns) + 31u) & ~31u)

#endif
