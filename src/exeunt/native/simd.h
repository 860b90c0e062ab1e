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

typedef struct kernels {
    spread_kernel *spread;
    bound_kernel *bound;
    product_kernel *product;
    step_kernel *step; /* `next` has place for 2 * WIDEST of each unit */
    activate_kernel *activate; /* of a minGRU, before its steps */
} kernels;

/* NULL if `simd` is not there. */
const kernels *kernels_of(int simd);

#endif
