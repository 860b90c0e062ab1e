/* Kernels for int8 tensors, and what they need to know.
 *
 * A tensor's numbers stand for scale * (q - zero). Weights are symmetric, one scale per output
 * channel; biases are at the scale of the sums, and hold -zero times the sum of the weights, so
 * that kernels multiply what they read as it is, and padding counts as `zero`.
 */
#ifndef EXN_S8_H
#define EXN_S8_H

#include "exn.h"
#include "exn_integers.h"
#include "exn_patches.h"
#include "exn_window.h"

/* From the sums of one layer to its output. */
typedef struct exn_requantize {
    const exn_factor *factors;  /* one per output channel */
    int16_t zero;               /* of the output */
    int16_t low, high;          /* the activation's limits */
} exn_requantize;

/* weights: output channel, row, column, input channel */
typedef struct exn_conv_s8 {
    const int8_t *weights;
    const int32_t *biases;
    exn_requantize requantize;
    exn_window window;
    int8_t zero;
} exn_conv_s8;

/* weights: row, column, channel */
typedef struct exn_depthwise_s8 {
    const int8_t *weights;
    const int32_t *biases;
    exn_requantize requantize;
    exn_window window;
    int8_t zero;
} exn_depthwise_s8;

/* The sum or the mixture of two numbers: (a - zero_a) * by_a + (b - zero_b) * by_b, in 2^shift. */
typedef struct exn_sum_s8 {
    int32_t by_a, by_b;
    uint8_t shift;
    int8_t zero_a, zero_b;
    int16_t zero, low, high;
} exn_sum_s8;

typedef struct exn_residual_s8 {
    const exn_conv_s8 *expand;  /* or NULL */
    exn_depthwise_s8 depthwise;
    exn_conv_s8 project;
    const exn_sum_s8 *sum;      /* of the input and the projection, or NULL */
    uint16_t hidden;            /* expanded channels */
} exn_residual_s8;

/* weights: output, input */
typedef struct exn_linear_s8 {
    const int8_t *weights;
    const int32_t *biases;
    const exn_factor *factors;
    int32_t zero, low, high;
    uint16_t inputs;
    uint8_t wide;  /* whether the output is int16_t: scores */
} exn_linear_s8;

typedef struct exn_average_s8 {
    exn_factor factor;  /* from the sum of all pixels to the output */
    int16_t zero_in, zero_out;
} exn_average_s8;

/* A factor and a term for each channel, of what is about to be convolved. */
typedef struct exn_scale_s8 {
    const int8_t *weights;
    const int32_t *biases;
    exn_requantize requantize;
} exn_scale_s8;

typedef struct exn_gathered_conv_s8 {
    exn_conv_s8 conv;
    const exn_scale_s8 *before;  /* or NULL */
    uint16_t channels;           /* of the input, all parts together */
    uint8_t dilation_y, dilation_x;
} exn_gathered_conv_s8;

typedef struct exn_pool_s8 {
    exn_window window;
    uint8_t average;        /* or the maximum */
    uint8_t count_padding;  /* in what an average divides by */
    int8_t zero;
} exn_pool_s8;

typedef struct exn_grid_pool_s8 {
    uint8_t down, across;  /* cells */
    uint8_t under_way;     /* rows of cells that a row may lie in */
    uint8_t average;
    int8_t zero;
} exn_grid_pool_s8;

typedef struct exn_lookup_s8 {
    const int8_t *table;  /* of 256 */
} exn_lookup_s8;

/* Between two lines: the second's share in 256ths. */
typedef struct exn_between {
    uint16_t first, second;
    uint16_t share;
} exn_between;

typedef struct exn_resize_s8 {
    const exn_between *down, *across;  /* by output row and column */
} exn_resize_s8;

typedef struct exn_move_s8 {
    int16_t top, left;        /* of the input, where the output begins */
    uint16_t step_y, step_x;
    uint16_t before;          /* channels of zeros */
    int8_t zero;
} exn_move_s8;

/* Bytes to numbers, one table for each channel. */
typedef int8_t exn_byte_table[256];

typedef struct exn_input_s8 {
    const exn_byte_table *table;
} exn_input_s8;

/* A GRU. Gates and rows of weights come unit by unit: reset, update, new; factors lead to 4096ths. */
typedef struct exn_cell_s8 {
    const int8_t *input_weights;
    const int16_t *hidden_weights;
    const int32_t *input_biases, *hidden_biases;
    const exn_factor *input_factors, *hidden_factors;
    uint16_t inputs;
    uint8_t hidden;
} exn_cell_s8;

typedef struct exn_rex_s8 {
    exn_cell_s8 first;
    const exn_cell_s8 *second;  /* forward and backward */
    const int8_t *linear_weights;
    const int32_t *linear_biases;
    const exn_factor *linear_factors;
    const int8_t *blank;        /* a pixel beside the map */
    exn_factor state_factor;    /* from states to the output */
    exn_patches down, across;
    uint16_t globals;           /* outputs of the linear map */
    uint8_t use_rows, use_columns;
    int8_t zero;
} exn_rex_s8;

/* When to leave, by exit: probabilities in 65536ths, 2^32 - 1 for never. */
typedef struct exn_policy_s8 {
    const uint32_t *confidence;  /* least of the first class, or NULL */
    const uint32_t *margin;      /* least distance to the second, or NULL */
    const uint32_t *softness;    /* of a score in the exponent of 2, in 2^-24 */
} exn_policy_s8;

exn_kernel exn_conv_s8_make;
exn_kernel exn_depthwise_s8_make;
exn_kernel exn_residual_s8_make;
exn_kernel exn_gathered_conv_s8_make;
exn_kernel exn_pool_s8_make;
exn_kernel exn_grid_pool_s8_make;
exn_kernel exn_grid_pool_s8_take;
exn_kernel exn_sum_s8_make;
exn_kernel exn_lookup_s8_make;
exn_kernel exn_resize_s8_make;
exn_kernel exn_move_s8_make;
exn_kernel exn_linear_s8_make;
exn_kernel exn_average_s8_make;
exn_kernel exn_average_s8_take;
exn_kernel exn_rex_s8_make;
exn_kernel exn_rex_s8_take;

void exn_read_row_s8(const exn_model *model, const uint8_t *pixels, uint8_t *row);
int exn_judge_s8(const exn_model *model, const uint8_t *arena, uint8_t exit,
                 uint16_t *class_index);

EXN_INLINE int8_t exn_quantized(int32_t sum, const exn_requantize *to, uint32_t channel)
{
    int32_t value = exn_scale(sum, to->factors[channel]) + to->zero;
    return (int8_t)exn_clamp(value, to->low, to->high);
}

EXN_INLINE int8_t exn_sum(const exn_sum_s8 *sum, int32_t a, int32_t b)
{
    int32_t value = (a - sum->zero_a) * sum->by_a + (b - sum->zero_b) * sum->by_b;
    value = (value + ((int32_t)1 << (sum->shift - 1))) >> sum->shift;
    return (int8_t)exn_clamp(value + sum->zero, sum->low, sum->high);
}

#endif
