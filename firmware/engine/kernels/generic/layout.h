/* Plain rows: a group is one row of int8 codes, and an input is the codes themselves. */
#ifndef TL_LAYOUT_H
#define TL_LAYOUT_H

#define TL_GROUP_ROWS 1u
#define TL_INPUT_BYTES(columns) (((columns) + 15u) & ~15u)

#endif
