/* Kernels for int8 tensors, and what they need to know.
 *
 * A tensor's numbers stand for scale * (q - zero). Weights are symmetric, one scale per output
 * channel; biases are at the scale of the sums, and hold -zero times the sum of the weights, so
 * that kernels multiply what they read as it is, and padding counts as `zero`.
 *
 * Dense weights are packed: two rows a, b become one of 256 b + a, in 16 bits. Four rows go
 * together, four weights of the first two and four of the others at a time; of every four the
 * third comes second. Zeros make rows a multiple of 8 long, and their number a multiple of 4.
 */
#ifndef EXN_S8_H
#define EXN_S8_H

#include "exn.h"
#include "exn_integers.h"
#include "exn_move.h"
#include "exn_patches.h"
#include "exn_window.h"

/* From the sums of one layer to its output. */
typedef struct exn_requantize {
    const exn_four *fours; /* one for four output channels; or NULL, where factors are too uneven */
    const exn_row *rows;   /* one per output channel then */
    int16_t zero;         /* of the output */
    int16_t low, high;    /* the activation's limits */
    const int8_t *table;  /* of 256, what becomes of the output then; or NULL */
} exn_requantize;

/* What an operator may use of the arena while it makes row r: from rooms[r % slots] on, or
 * nothing where that is EXN_NO_ROOM. `span` columns of what an
 * inverted residual expands find a place there. */
typedef struct exn_room {
    const uint32_t *rooms;  /* or NULL */
    uint16_t slots;
    uint16_t span;
} exn_room;

#define EXN_NO_ROOM UINT32_MAX

/* weights: packed rows of one window, pixel after pixel; where a window has more than EXN_GATHERED
 * numbers, each pixel's begin anew. */
typedef struct exn_conv_s8 {
    const int16_t *weights;
    const int8_t *blank;  /* a pixel beside the map, where a large window needs one */
    const exn_room *room; /* of two widened windows; or NULL */
    exn_requantize requantize;
    exn_window window;
    int8_t zero;
} exn_conv_s8;

enum { EXN_GATHERED = 160 };

/* weights: of four channels those of two taps, channel after channel, then of the next two, and
 * those of an odd tap last; then of the next four. Zeros fill up the last four. Where a node that is
 * nothing else reads several parts, the channels of each begin anew. */
typedef struct exn_depthwise_s8 {
    const int16_t *weights;
    const int8_t *blank;  /* a pixel beside the map */
    exn_requantize requantize;
    exn_window window;
} exn_depthwise_s8;

/* The sum or the mixture of two numbers: (a - zero_a) * by_a + (b - zero_b) * by_b, in 2^shift. */
typedef struct exn_sum_s8 {
    int32_t by_a, by_b;
    uint8_t shift;
    int8_t zero_a, zero_b;
    int16_t zero, low, high;
} exn_sum_s8;

/* (a - zero_a) * (b - zero_b) */
typedef struct exn_product_s8 {
    exn_factor factor;
    int16_t zero_a, zero_b;
    int16_t zero, low, high;
} exn_product_s8;

/* A factor above 0, and one for each channel below. */
typedef struct exn_slope_s8 {
    exn_factor above;
    const exn_factor *below;
    int16_t zero_in, zero_out;
} exn_slope_s8;

typedef struct exn_residual_s8 {
    const exn_conv_s8 *expand;  /* or NULL */
    exn_depthwise_s8 depthwise;
    exn_conv_s8 project;
    const exn_sum_s8 *sum;      /* of the input and the projection, or NULL */
    exn_room room;
    uint16_t hidden;            /* expanded channels */
    uint16_t again;             /* 0, or channels at a time of one that keeps no expanded rows */
} exn_residual_s8;

/* weights: packed rows */
typedef struct exn_linear_s8 {
    const int16_t *weights;
    const exn_row *rows;
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
    exn_requantize requantize;
} exn_scale_s8;

/* The packed rows of `conv` are of whole windows, whatever their size. */
typedef struct exn_gathered_conv_s8 {
    exn_conv_s8 conv;
    const exn_scale_s8 *before;  /* or NULL */
    uint16_t channels;           /* of the input, all parts together */
    uint8_t dilation_y, dilation_x;
    uint16_t groups;             /* that divide channels and outputs; packed rows lie by group */
} exn_gathered_conv_s8;

typedef struct exn_pool_s8 {
    exn_window window;
    uint8_t average;        /* or the maximum */
    uint8_t count_padding;  /* in what an average divides by */
    int8_t zero;
} exn_pool_s8;

/* The largest or the mean of all channels of a pixel. */
typedef struct exn_channel_pool_s8 {
    uint16_t channels;
    uint8_t average;
    int8_t zero;
} exn_channel_pool_s8;

/* softness: of a step of the map times one of the sharpness, in the exponent of 2, in 2^-24 */
typedef struct exn_sharp_pool_s8 {
    exn_window window;
    uint32_t softness;
    int8_t zero;  /* of the sharpness */
} exn_sharp_pool_s8;

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

/* Bytes to numbers, one table for each channel. */
typedef int8_t exn_byte_table[256];

typedef struct exn_input_s8 {
    const exn_byte_table *table;
} exn_input_s8;

/* A recurrent cell. Gates and rows of weights come unit by unit, in a GRU reset, update, new; factors
 * lead to 4096ths. The weights of int8 inputs are packed. The first numbers of a state, one for each
 * unit, are what others read; an LSTM has memories behind them, and at most 24 units, 16 as the second
 * cell of ReX. */
typedef struct exn_cell_s8 {
    const int16_t *input_weights, *hidden_weights;
    const exn_row *input_rows, *hidden_rows;
    const int32_t *biases;  /* of FastGRNN: update and new by unit, then zeta and nu in 32768ths */
    uint16_t inputs;
    uint8_t hidden;
    uint8_t state;  /* numbers that go from step to step */
} exn_cell_s8;

/* What cells of a kind do: take in a pixel or a state, which gives gates, and go on by these. */
typedef struct exn_cell_kind_s8 {
    void (*take_pixel)(const exn_cell_s8 *cell, const int8_t *x, int32_t *gates);
    void (*take_state)(const exn_cell_s8 *cell, const int16_t *x, int32_t *gates);
    void (*step)(const exn_cell_s8 *cell, const int32_t *gates, int16_t *state);
#ifdef EXN_UNITS
    const struct exn_units_kind_s8 *units;  /* the same by vectors, or NULL */
#endif
} exn_cell_kind_s8;

extern const exn_cell_kind_s8 exn_gru_s8, exn_mingru_s8, exn_fastgrnn_s8, exn_lstm_s8, exn_rnn_s8;

typedef struct exn_rex_s8 {
    const exn_cell_kind_s8 *kind;
    exn_cell_s8 first;
    const exn_cell_s8 *second;  /* forward and backward */
    const int16_t *linear_weights;
    const exn_row *linear_rows;
    const int8_t *blank;        /* a pixel beside the map */
    const exn_row *row_rows, *column_rows;  /* from states to the output, both ways */
    exn_patches down, across;
    uint16_t globals;           /* outputs of the linear map */
    uint8_t use_rows, use_columns;
    int8_t zero;
} exn_rex_s8;

typedef struct exn_renet_s8 {
    const exn_cell_kind_s8 *kind;
    const exn_cell_s8 *columns, *rows;  /* forward and backward */
    const exn_row *states;  /* to the output, both ways */
    uint32_t record;        /* bytes that are kept of a patch */
    uint32_t patch;         /* numbers of a patch */
    uint16_t down, across;  /* patches */
    uint16_t height, width; /* of a patch */
    uint16_t top, left;     /* lines of padding */
    uint8_t keeps_pixels;   /* or what they add to gates */
    int8_t zero_in, zero;
} exn_renet_s8;

/* When to leave, by exit: probabilities in 65536ths, 2^32 - 1 for never. */
typedef struct exn_policy_s8 {
    const uint32_t *confidence;  /* least of the first class, or NULL */
    const uint32_t *margin;      /* least distance to the second, or NULL */
    const uint32_t *softness;    /* of a score in the exponent of 2, in 2^-24 */
    const uint32_t *perplexity;  /* most exp(entropy), in 65536ths, 0 for never; or NULL */
} exn_policy_s8;

/* Two values of a regression agree that are nearer than this, each its score times the exit's worth. */
typedef struct exn_tolerance_s8 {
    const uint32_t *worths;
    int64_t eta;
} exn_tolerance_s8;

exn_kernel exn_conv_s8_make;
exn_kernel exn_depthwise_s8_make;
exn_kernel exn_residual_s8_make;
exn_kernel exn_gathered_conv_s8_make;
exn_kernel exn_pool_s8_make;
exn_kernel exn_channel_pool_s8_make;
exn_kernel exn_sharp_pool_s8_make;
exn_kernel exn_grid_pool_s8_make;
exn_kernel exn_grid_pool_s8_take;
exn_kernel exn_sum_s8_make;
exn_kernel exn_product_s8_make;
exn_kernel exn_slope_s8_make;
exn_kernel exn_lookup_s8_make;
exn_kernel exn_resize_s8_make;
exn_kernel exn_linear_s8_make;
exn_kernel exn_average_s8_make;
exn_kernel exn_average_s8_take;
exn_kernel exn_average_scores_s8_make;  /* to int16_t */
exn_kernel exn_average_scores_s8_take;
exn_kernel exn_rex_s8_make;
exn_kernel exn_rex_s8_take;
exn_kernel exn_renet_s8_make;
exn_kernel exn_renet_s8_take;

void exn_read_row_s8(const exn_model *model, const uint8_t *pixels, uint8_t *row);
int exn_judge_s8(const exn_model *model, const uint8_t *arena, uint8_t exit,
                 uint16_t *class_index);
int exn_certain_s8(const exn_model *model, const uint8_t *arena, uint8_t exit);
int exn_agrees_s8(const exn_model *model, const uint8_t *arena, uint8_t exit, exn_said *said);

/* Outputs `first` to before `first + outputs` of a 1x1 convolution of one pixel; `first` is a
 * multiple of 4. */
void exn_mix_s8(const exn_conv_s8 *conv, const int8_t *pixel, uint32_t inputs, uint32_t first,
                uint32_t outputs, int8_t *out);

/* All outputs of one or two pixels that lie side by side, those of the second `apart` behind those of
 * the first; `wide` has room for both in 16 bits, filled up to multiples of 8 where it is one, of 4
 * where it is two. */
void exn_mix_pixels_s8(const exn_conv_s8 *conv, const int8_t *x, uint32_t pixels, uint32_t inputs,
                       uint32_t outputs, int8_t *out, int32_t apart, int16_t *wide);

#ifdef EXN_DSP
/* The same of two pixels that are widened, numbers of both in turn, two and two. */
void exn_mix_widened_s8(const exn_conv_s8 *conv, const int16_t *wide, uint32_t inputs,
                        uint32_t outputs, int8_t *out, int32_t apart);
#endif

/* What `rows` packed rows over `inputs` numbers take, in 16 bits. */
EXN_INLINE uint32_t exn_packed_size(uint32_t rows, uint32_t inputs)
{
    return rows / 2 * ((inputs + 7) & ~(uint32_t)7);
}

#include "exn_outputs_s8.h"

/* Up to three numbers. */
EXN_INLINE void exn_copy_few(int8_t *out, const int8_t *from, uint32_t n)
{
    for (; n > 0; n--) {
        *out++ = *from++;
    }
}

/* What may be used of the arena besides, or NULL. */
EXN_INLINE int8_t *exn_room_of(const exn_room *room, uint8_t *arena, uint32_t row)
{
    uint32_t at = room == NULL || room->rooms == NULL ? EXN_NO_ROOM : room->rooms[row % room->slots];
    return at == EXN_NO_ROOM ? NULL : (int8_t *)arena + at;
}

/* Keeps int8 numbers within the limits of an activation. */
EXN_INLINE void exn_limit(int8_t *out, uint32_t n, const exn_requantize *to)
{
    int32_t low, high;
    uint32_t i;
    if (to->table != NULL) {
        for (i = 0; i < n; i++) {
            out[i] = to->table[out[i] + 128];
        }
        return;
    }
    if (to->low <= INT8_MIN && to->high >= INT8_MAX) {
        return;
    }
    low = to->low;
    high = to->high;
    for (i = 0; i < n; i++) {
        out[i] = (int8_t)exn_clamp(out[i], low, high);
    }
}

/* Sums of two runs of numbers. */
EXN_INLINE void exn_sum(const exn_sum_s8 *sum, const int8_t *a, const int8_t *b, uint32_t n,
                        int8_t *out)
{
    const exn_sum_s8 of = *sum;
    uint32_t base = ((uint32_t)1 << (of.shift - 1)) - (uint32_t)(of.zero_a * of.by_a) -
                    (uint32_t)(of.zero_b * of.by_b);
    int32_t low = exn_larger(of.low, INT8_MIN), high = exn_smaller(of.high, INT8_MAX);
    const int8_t *end = a + n;
    if (low == INT8_MIN && high == INT8_MAX) {
        while (a < end) {
            uint32_t value = (uint32_t)(*a++ * of.by_a) + base + (uint32_t)(*b++ * of.by_b);
            *out++ = (int8_t)exn_int8(((int32_t)value >> of.shift) + of.zero);
        }
        return;
    }
    while (a < end) {
        uint32_t value = (uint32_t)(*a++ * of.by_a) + base + (uint32_t)(*b++ * of.by_b);
        *out++ = (int8_t)exn_clamp(((int32_t)value >> of.shift) + of.zero, low, high);
    }
}

/* The lines under a window, NULL where they lie outside the map. */
EXN_INLINE void exn_lines_s8(const exn_ring *in, uint8_t *arena, const exn_window *window,
                             uint32_t row, uint32_t first, const int8_t **lines)
{
    int32_t top = (int32_t)row * window->stride_y - window->top;
    int32_t k;
    for (k = 0; k < window->height; k++) {
        const int8_t *line = (const int8_t *)exn_place_within(in, arena, top + k);
        lines[k] = line == NULL ? NULL : line + first;
    }
}

#endif
