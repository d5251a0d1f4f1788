#include "matmul.h"

#include <stddef.h>

#include "model.h"
#include "parallel.h"
#include "placement.h"

/* Weights of a batch are read in parts of about this size: the first tokens read a part from flash, the others read it
 * from the flash's cache. */
#define BYTES_AT_ONCE 4096u

/* The matmul under way, static so that both cores see it. */
static struct {
    struct tl_product products[TL_PRODUCTS_AT_MOST];
    uint32_t n;
    const struct tl_inputs *x;
    int32_t *total; /* NULL: y is not added */
    uint32_t total_stride;
} matmul;

/* A project without int4 matrices has no kernels for them. */
static inline uint32_t rows_of_group(const struct tl_matrix *w) {
    (void)w;
#if TL_INT4_WEIGHTS
    if (w->bits == 4u) return TL_INT4_GROUP_ROWS;
#endif
    return TL_GROUP_ROWS;
}

TL_HOT static uint32_t groups_of(const struct tl_matrix *w) {
    const uint32_t rows = rows_of_group(w);
    return (w->rows + rows - 1u) / rows;
}

TL_HOT void tl_expand_for(const struct tl_matrix *w, const int8_t *codes, uint32_t stride, uint32_t tokens,
                          uint8_t *expanded) {
    const uint32_t n = w->columns;
#if TL_INT4_WEIGHTS
    if (w->bits == 4u) {
        if (tokens == 1) {
            tl_expand_int4(codes, n, expanded);
        } else {
            tl_expand_tokens_int4(codes, stride, tokens, n, expanded);
        }
        return;
    }
#endif
    if (tokens == 1) {
        tl_expand(codes, n, expanded);
    } else {
        tl_expand_tokens(codes, stride, tokens, n, expanded);
    }
}

/* y (tokens, stride) = the groups first <= g < last of W @ x, before requantisation. */
static inline void dot(const struct tl_product *product, const struct tl_inputs *x, uint32_t first, uint32_t last,
                       int32_t *y) {
    const struct tl_matrix *w = product->w;
#if TL_INT4_WEIGHTS
    if (w->bits == 4u) {
        if (x->tokens == 1) {
            tl_dot_groups_int4(w, x->expanded, first, last, y);
        } else {
            tl_dot_tokens_int4(w, x->expanded, x->tokens, first, last, y, product->stride);
        }
        return;
    }
#endif
    if (x->tokens == 1) {
        tl_dot_groups(w, x->expanded, first, last, y);
    } else {
        tl_dot_tokens(w, x->expanded, x->tokens, first, last, y, product->stride);
    }
}

static inline int32_t code_of(const struct tl_matrix *w, uint32_t row, uint32_t column) {
#if TL_INT4_WEIGHTS
    if (w->bits == 4u) return tl_code_int4(w, row, column);
#endif
    return tl_code(w, row, column);
}

/* The groups first <= g < last of one product: requantised, and added to the total if there is one. */
TL_HOT static void multiply(const struct tl_product *product, uint32_t first, uint32_t last) {
    const struct tl_matrix *w = product->w;
    const struct tl_inputs *x = matmul.x;
    const uint32_t row = first * rows_of_group(w), end = last * rows_of_group(w);
    const uint32_t rows = (end < w->rows ? end : w->rows) - row;
    int32_t *y = product->y + row;
    dot(product, x, first, last, y);
    tl_requantize_tokens(y, product->stride, x->tokens, w->mantissa + row, rows, x->scales,
                         w->exponent + TL_FRACTION_BITS, w->most);
    if (matmul.total == NULL) return;
    for (uint32_t t = 0; t < x->tokens; t++, y += product->stride) {
        int32_t *total = matmul.total + (size_t)t * matmul.total_stride + row;
        TL_UNROLL
        for (uint32_t i = 0; i < rows; i++) total[i] = tl_add(total[i], y[i]);
    }
}

/* The groups first <= g < last, which are numbered through all products. */
TL_HOT static void matmul_groups(const void *job, uint32_t first, uint32_t last, uint32_t core) {
    (void)job, (void)core;
    const struct tl_product *product = matmul.products;
    for (uint32_t groups; first < last; first -= groups, last -= groups, product++) {
        groups = groups_of(product->w);
        if (first >= groups) continue;
        const uint32_t end = last < groups ? last : groups;
        const uint32_t step = matmul.x->tokens == 1 ? groups : BYTES_AT_ONCE / product->w->group_bytes + 1u;
        for (; end - first > step; first += step) multiply(product, first, first + step);
        multiply(product, first, end);
        if (last <= groups) return;
        first = groups;
    }
}

TL_HOT static void run(void) {
    uint32_t groups = 0, macs = 0;
    for (uint32_t i = 0; i < matmul.n; i++) {
        const struct tl_matrix *w = matmul.products[i].w;
        groups += groups_of(w);
        macs += w->rows * w->columns;
    }
    tl_parallel(matmul_groups, &matmul, groups, macs);
}

TL_HOT void tl_matmul(const struct tl_product *products, uint32_t n, const struct tl_inputs *x) {
    for (uint32_t i = 0; i < n; i++) matmul.products[i] = products[i];
    matmul.n = n;
    matmul.x = x;
    matmul.total = NULL;
    run();
}

TL_HOT void tl_matmul_add(const struct tl_product *product, const struct tl_inputs *x, int32_t *total,
                          uint32_t stride) {
    matmul.products[0] = *product;
    matmul.n = 1;
    matmul.x = x;
    matmul.total = total;
    matmul.total_stride = stride;
    run();
}

TL_HOT void tl_matrix_row(const struct tl_matrix *w, uint32_t index, int32_t *y) {
    for (uint32_t i = 0; i < w->columns; i++) y[i] = code_of(w, index, i);
    tl_requantize_vector(y, w->columns, w->mantissa[index], -(w->exponent + TL_FRACTION_BITS), y);
}
