/* A group is eight rows, as codegen/kernels/int4_quads.py packs them: of every four columns (a quad) 16 bits for each
 * row, a code + 8 in each four bits, the first column lowest. After each 32 columns the eight scales follow. An input
 * has two words before each 32 columns, and four words for each quad: dot_groups_int4.c. */
#ifndef TL_LAYOUT_INT4_H
#define TL_LAYOUT_INT4_H

#define TL_INT4_GROUP_ROWS 8u
#define TL_QUAD_COLUMNS 4u
#define TL_QUADS(columns) (((columns) + 3u) / 4u)
#define TL_QUADS_OF_A_SCALE 8u
#define TL_SCALES(columns) (((columns) + 31u) / 32u) /* of a row */
#define TL_INT4_INPUT_BYTES(columns) ((TL_QUADS(columns) * 16u + TL_SCALES(columns) * 8u + 15u) & ~15u)

#endif
