/* Kernels for float tensors, and what they need to know. */
#ifndef EXN_F32_H
#define EXN_F32_H

#include "exn.h"
#include "exn_floats.h"
#include "exn_patches.h"
#include "exn_window.h"

/* weights: row, column, input channel, output channel */
typedef struct exn_conv_f32 {
    const float *weights;
    const float *biases;
    float low, high;  /* the activation's limits */
    exn_window window;
} exn_conv_f32;

/* weights: row, column, channel */
typedef struct exn_depthwise_f32 {
    const float *weights;
    const float *biases;
    float low, high;
    exn_window window;
} exn_depthwise_f32;

typedef struct exn_residual_f32 {
    const exn_conv_f32 *expand;  /* or NULL */
    exn_depthwise_f32 depthwise;
    exn_conv_f32 project;
    uint16_t hidden;             /* expanded channels */
    uint8_t adds;                /* whether the input is added to the projection */
} exn_residual_f32;

/* weights: input, output */
typedef struct exn_linear_f32 {
    const float *weights;
    const float *biases;
    float low, high;
    uint16_t inputs;
} exn_linear_f32;

/* What is subtracted from bytes over 255, and what divides the rest, by channel. */
typedef struct exn_input_f32 {
    const float *means, *deviations;
} exn_input_f32;

/* A GRU. Gates come one after the other, all units of each: reset, update, new.
 * weights: input, gate
 */
typedef struct exn_cell_f32 {
    const float *input_weights, *hidden_weights;
    const float *input_biases, *hidden_biases;
    uint16_t inputs;
    uint8_t hidden;
} exn_cell_f32;

typedef struct exn_rex_f32 {
    exn_cell_f32 first;
    const exn_cell_f32 *second;  /* forward and backward */
    const float *linear_weights;
    const float *linear_biases;
    exn_patches down, across;
    uint16_t globals;            /* outputs of the linear map */
    uint8_t use_rows, use_columns;
} exn_rex_f32;

/* When to leave, by exit but the last; above 1 for never. Probabilities are found as Python finds
 * them, but for rounding: one that is within 1e-6 of its level may be judged otherwise.
 */
typedef struct exn_policy_f32 {
    const float *confidence;    /* least probability of the first class, or NULL */
    const float *margin;        /* least distance to that of the second, or NULL */
    const float *temperatures;  /* that divide the scores */
} exn_policy_f32;

exn_kernel exn_conv_f32_make;
exn_kernel exn_depthwise_f32_make;
exn_kernel exn_residual_f32_make;
exn_kernel exn_linear_f32_make;
exn_kernel exn_average_f32_make;
exn_kernel exn_average_f32_take;
exn_kernel exn_rex_f32_make;
exn_kernel exn_rex_f32_take;

/* `pixels` may be `row` itself: bytes become floats from the end. */
void exn_read_row_f32(const exn_model *model, const uint8_t *pixels, uint8_t *row);
int exn_judge_f32(const exn_model *model, const uint8_t *arena, uint8_t exit,
                  uint16_t *class_index);

EXN_INLINE float *exn_row_f32(const exn_ring *ring, uint8_t *arena, uint32_t row)
{
    return (float *)(void *)exn_place(ring, arena, row);
}

/* The rows under a window, from channel `first` on; NULL where they lie outside the map. */
EXN_INLINE void exn_lines_f32(const exn_ring *in, uint8_t *arena, const exn_window *window,
                              uint32_t row, uint32_t first, const float **lines)
{
    int32_t top = (int32_t)row * window->stride_y - window->top;
    int32_t k;
    for (k = 0; k < window->height; k++) {
        const float *line = (const void *)exn_place_within(in, arena, top + k);
        lines[k] = line == NULL ? NULL : line + first;
    }
}

#endif
