/* Kernels for float tensors, and what they need to know. */
#ifndef EXN_F32_H
#define EXN_F32_H

#include "exn.h"
#include "exn_floats.h"
#include "exn_move.h"
#include "exn_patches.h"
#include "exn_window.h"

/* A function of single numbers, and what settles it. */
typedef struct exn_function_f32 {
    void (*apply)(float *numbers, uint32_t n, float a, float b);
    float a, b;
} exn_function_f32;

/* weights: row, column, input channel, output channel */
typedef struct exn_conv_f32 {
    const float *weights;
    const float *biases;
    float low, high;  /* the activation's limits */
    const exn_function_f32 *function;  /* behind these, or NULL */
    exn_window window;
} exn_conv_f32;

/* weights: row, column, channel; those of one part after those of another, where there are several */
typedef struct exn_depthwise_f32 {
    const float *weights;
    const float *biases;
    float low, high;
    const exn_function_f32 *function;  /* or NULL */
    exn_window window;
} exn_depthwise_f32;

/* A factor and a term for each channel, of what is about to be convolved. */
typedef struct exn_scale_f32 {
    const float *weights;
    const float *biases;
    float low, high;
    const exn_function_f32 *function;  /* or NULL */
} exn_scale_f32;

typedef struct exn_gathered_conv_f32 {
    exn_conv_f32 conv;
    const exn_scale_f32 *before;  /* or NULL */
    uint16_t channels;            /* of the input, all parts together */
    uint8_t dilation_y, dilation_x;
    uint16_t groups;              /* that divide both channels and outputs; weights lie by group */
} exn_gathered_conv_f32;

/* The sum or the mixture of two numbers: by_a * a + by_b * b. */
typedef struct exn_sum_f32 {
    float by_a, by_b;
    float low, high;
} exn_sum_f32;

/* a * b */
typedef struct exn_product_f32 {
    float low, high;
} exn_product_f32;

/* Below 0 a number for each channel multiplies. */
typedef struct exn_slope_f32 {
    const float *slopes;
} exn_slope_f32;

typedef struct exn_pool_f32 {
    exn_window window;
    uint8_t average;        /* or the maximum */
    uint8_t count_padding;  /* in what an average divides by */
} exn_pool_f32;

/* The largest or the mean of all channels of a pixel. */
typedef struct exn_channel_pool_f32 {
    uint16_t channels;
    uint8_t average;
} exn_channel_pool_f32;

typedef struct exn_sharp_pool_f32 {
    exn_window window;
} exn_sharp_pool_f32;

typedef struct exn_grid_pool_f32 {
    uint16_t down, across;  /* cells */
    uint8_t under_way;      /* rows of cells that a row may lie in */
    uint8_t average;
} exn_grid_pool_f32;

/* Between two lines: the second's share. Where it has none, both are the first. */
typedef struct exn_between_f32 {
    uint16_t first, second;
    float share;
} exn_between_f32;

typedef struct exn_resize_f32 {
    const exn_between_f32 *down, *across;  /* by output row and column */
} exn_resize_f32;

typedef struct exn_residual_f32 {
    const exn_conv_f32 *expand;  /* or NULL */
    exn_depthwise_f32 depthwise;
    exn_conv_f32 project;
    uint16_t hidden;             /* expanded channels */
    uint8_t adds;                /* whether the input is added to the projection */
    uint16_t again;              /* 0, or channels at a time of one that keeps no expanded rows */
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

/* A recurrent cell, of at most EXN_MAX_HIDDEN units. Gates come one after the other, all units of
 * each; weights: input, gate. A kind of cell whose gates depend on the input alone has no hidden
 * ones. The first numbers of a state, one for each unit, are what others read; an
 * LSTM has memories behind them, and at most 24 units, 16 as the second cell of ReX.
 */
enum { EXN_MAX_HIDDEN = 32 };

typedef struct exn_cell_f32 {
    const float *input_weights, *hidden_weights;
    const float *input_biases, *hidden_biases;
    uint16_t inputs;
    uint8_t hidden;
    uint8_t state;  /* numbers that go from step to step */
} exn_cell_f32;

/* What cells of a kind do: take in an input, which gives gates, and go on by these; NULL is a place
 * beside the map.
 */
typedef struct exn_cell_kind_f32 {
    void (*take)(const exn_cell_f32 *cell, const float *x, float *gates);
    void (*step)(const exn_cell_f32 *cell, const float *gates, float *state);
} exn_cell_kind_f32;

extern const exn_cell_kind_f32 exn_gru_f32, exn_mingru_f32, exn_fastgrnn_f32, exn_lstm_f32,
    exn_rnn_f32;

typedef struct exn_rex_f32 {
    const exn_cell_kind_f32 *kind;
    exn_cell_f32 first;
    const exn_cell_f32 *second;  /* forward and backward */
    const float *linear_weights;
    const float *linear_biases;
    const float *scales, *shifts;  /* of all outputs; NULL where they stay as they are */
    exn_patches down, across;
    uint16_t globals;            /* outputs of the linear map */
    uint8_t use_rows, use_columns;
} exn_rex_f32;

typedef struct exn_renet_f32 {
    const exn_cell_kind_f32 *kind;
    const exn_cell_f32 *columns, *rows;  /* forward and backward */
    uint32_t record;        /* bytes that are kept of a patch */
    uint32_t patch;         /* numbers of a patch */
    uint16_t down, across;  /* patches */
    uint16_t height, width; /* of a patch */
    uint16_t top, left;     /* lines of padding */
    uint8_t keeps_pixels;   /* or what they add to gates */
} exn_renet_f32;

/* When to leave, by exit but the last; above 1 for never. Probabilities are found as Python finds
 * them, but for rounding: one that is within 1e-6 of its level may be judged otherwise.
 */
typedef struct exn_policy_f32 {
    const float *confidence;    /* least probability of the first class, or NULL */
    const float *margin;        /* least distance to that of the second, or NULL */
    const float *temperatures;  /* that divide the scores */
    const float *perplexity;    /* most exp(entropy), below 1 for never; or NULL */
} exn_policy_f32;

/* Two values of a regression agree that are nearer than this. */
typedef struct exn_tolerance_f32 {
    float eta;
} exn_tolerance_f32;

exn_kernel exn_conv_f32_make;
exn_kernel exn_depthwise_f32_make;
exn_kernel exn_residual_f32_make;
exn_kernel exn_gathered_conv_f32_make;
exn_kernel exn_sum_f32_make;
exn_kernel exn_activation_f32_make;
exn_kernel exn_product_f32_make;
exn_kernel exn_slope_f32_make;
exn_kernel exn_pool_f32_make;
exn_kernel exn_channel_pool_f32_make;
exn_kernel exn_sharp_pool_f32_make;
exn_kernel exn_grid_pool_f32_make;
exn_kernel exn_grid_pool_f32_take;
exn_kernel exn_resize_f32_make;
exn_kernel exn_linear_f32_make;
exn_kernel exn_average_f32_make;
exn_kernel exn_average_f32_take;
exn_kernel exn_rex_f32_make;
exn_kernel exn_rex_f32_take;
exn_kernel exn_renet_f32_make;
exn_kernel exn_renet_f32_take;

/* `pixels` may be `row` itself: bytes become floats from the end. */
void exn_read_row_f32(const exn_model *model, const uint8_t *pixels, uint8_t *row);
int exn_judge_f32(const exn_model *model, const uint8_t *arena, uint8_t exit,
                  uint16_t *class_index);
int exn_certain_f32(const exn_model *model, const uint8_t *arena, uint8_t exit);
int exn_agrees_f32(const exn_model *model, const uint8_t *arena, uint8_t exit, exn_said *said);

/* Functions; a and b are the limits of `clip`, a the slope of `leaky_relu` and the depth of `elu`, a
 * the steepness of `softplus` and b where it is x itself. */
#define EXN_FUNCTION_F32(name) \
    void exn_##name##_f32(float *numbers, uint32_t n, float a, float b)
EXN_FUNCTION_F32(clip);
EXN_FUNCTION_F32(sigmoid);
EXN_FUNCTION_F32(tanh);
EXN_FUNCTION_F32(silu);
EXN_FUNCTION_F32(gelu);
EXN_FUNCTION_F32(gelu_tanh);
EXN_FUNCTION_F32(hardswish);
EXN_FUNCTION_F32(hardsigmoid);
EXN_FUNCTION_F32(leaky_relu);
EXN_FUNCTION_F32(elu);
EXN_FUNCTION_F32(mish);
EXN_FUNCTION_F32(softplus);

EXN_INLINE void exn_apply(const exn_function_f32 *function, float *numbers, uint32_t n)
{
    if (function != NULL) {
        function->apply(numbers, n, function->a, function->b);
    }
}

/* What an input adds to so many gates. */
EXN_INLINE void exn_take_input(const exn_cell_f32 *cell, uint32_t count, const float *x,
                               float *gates)
{
    exn_map(cell->input_weights, cell->input_biases, count, x, x == NULL ? 0 : cell->inputs,
            gates);
}

EXN_INLINE float *exn_row_f32(const exn_ring *ring, uint8_t *arena, uint32_t row)
{
    return (float *)(void *)exn_place(ring, arena, row);
}

/* The first channel of a part, in one pixel. */
EXN_INLINE const float *exn_pixel_f32(const exn_model *model, const exn_part *part, uint8_t *arena,
                                      uint32_t row, uint32_t column)
{
    const exn_ring *in = &model->rings[part->ring];
    return exn_row_f32(in, arena, row) + column * in->channels + part->first;
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
