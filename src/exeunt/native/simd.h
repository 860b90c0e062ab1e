/* The inner loops, for every instruction set. */
#ifndef EXEUNT_SIMD_H
#define EXEUNT_SIMD_H

#include "rex.h"

#include <stddef.h>

enum { WIDEST = 16 }; /* lanes of the widest vectors */

/* exp(-x) and exp(-2 x) are 2 to these times x */
#define SCALE_SIGMOID -1.44269504f
#define SCALE_TANH -2.88539008f

typedef struct affine {
    const float *weights; /* input, output */
    const float *biases;
    size_t inputs, outputs;
} affine;

/* Gates are scaled: `exp(-x)` is what becomes of them, of what goes to tanh `exp(-2 x)`, and both
 * are found as powers of two.
 */
typedef struct cell {
    const float *weights; /* unit, gate */
    const float *biases;  /* GRU: of the new state's gate; FastGRNN: z, c and their shares */
    size_t hidden;
    int kind;
} cell;

typedef void product_kernel(const affine *map, const float *const *in, float *out, size_t wide,
                            size_t lanes);
typedef void step_kernel(const cell *rnn, const float *gates, size_t gates_wide, float *state,
                         size_t wide, float *next, size_t lanes, int begins);

typedef void activate_kernel(float *gates, size_t wide, size_t lanes, size_t hidden);

typedef void spread_kernel(float *to, const float *from, size_t count, int64_t apart);
typedef void bound_kernel(float *row, const float *low, const float *high, size_t lanes);

/* A line for each column of a matrix, and limits of what comes of it. */
typedef struct row_lines {
    const float *slopes, *offsets; /* column */
    float low, high;
} row_lines;

typedef void sum_rows_kernel(const float *x, size_t rows, size_t wide, const float *origins,
                             float *sums);
typedef void sum_gradients_kernel(const float *x, const float *gradients, size_t rows, size_t wide,
                                  const row_lines *lines, const float *origins, float *sums);
typedef void map_rows_kernel(const float *x, size_t rows, size_t wide, const row_lines *lines,
                             float *out);
typedef void map_gradients_kernel(const float *x, const float *gradients, size_t rows, size_t wide,
                                  const row_lines *lines, const float *more, const float *rest,
                                  float *out);

typedef struct kernels {
    spread_kernel *spread;
    bound_kernel *bound;
    product_kernel *product;
    step_kernel *step; /* `next` has place for 2 * WIDEST of each unit */
    activate_kernel *activate; /* of a minGRU, before its steps */
    sum_rows_kernel *sum_rows;
    sum_gradients_kernel *sum_gradients;
    map_rows_kernel *map_rows;
    map_gradients_kernel *map_gradients;
} kernels;

/* NULL if `simd` is not there. */
const kernels *kernels_of(int simd);

#endif
