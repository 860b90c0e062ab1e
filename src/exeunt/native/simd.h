/* The two inner loops, for every instruction set. */
#ifndef EXEUNT_SIMD_H
#define EXEUNT_SIMD_H

#include "rex.h"

#include <stddef.h>

enum { WIDEST = 16 }; /* lanes of the widest vectors */

typedef struct affine {
    const float *weights; /* input, output */
    const float *biases;
    size_t inputs, outputs;
} affine;

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

typedef struct kernels {
    product_kernel *product;
    step_kernel *step; /* `next` has place for 2 * WIDEST of each unit */
} kernels;

/* NULL if `simd` is not there. */
const kernels *kernels_of(int simd);

#endif
