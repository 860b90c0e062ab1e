/* ReX in float32 on a processor, many sequences at a time.
 *
 * The weights are taken as they lie in torch's modules; nothing is kept between calls.
 */
#ifndef EXEUNT_REX_H
#define EXEUNT_REX_H

#include "exeunt.h"

#include <stdint.h>

enum rex_kind { REX_GRU, REX_LSTM, REX_RNN, REX_FASTGRNN, REX_MINGRU };

/* One direction of a recurrent module. Gates of g * hidden rows: r z n, i f g o, one, one, z c. */
typedef struct rex_cell {
    const float *input_weights;  /* gate, input */
    const float *hidden_weights; /* gate, unit; a minGRU has none, and no biases beside them */
    const float *input_biases;   /* gate; of a FastGRNN z and c, a unit each */
    const float *hidden_biases;  /* gate; of a FastGRNN the shares of c with 1 - z and without */
} rex_cell;

/* One axis of the sliding patch. Patches overlap, touch, or leave lines out. */
typedef struct rex_axis {
    int32_t length;  /* lines of the map */
    int32_t before;  /* lines of zeros before it */
    int32_t size;    /* lines of a patch */
    int32_t stride;
    int32_t patches;
    int32_t repeat;  /* copies of the last patch after it */
} rex_axis;

typedef struct rex_layer {
    rex_cell first;
    rex_cell second[2];           /* forward, backward */
    const float *linear_weights;  /* 4 * hidden2, summary and unit */
    const float *linear_biases;
    rex_axis down, across;
    int32_t kind;
    int32_t channels, hidden1, hidden2;
    int32_t use_rows, use_global, use_columns;
} rex_layer;

/* A convolution that ReX's maps come from: each of their rows is computed when it is read. */
typedef struct conv_layer {
    const float *weights;  /* output, channel, row, column */
    const float *biases;
    rex_axis down, across; /* windows for patches, `repeat` being 0 */
    int32_t channels, outputs;
    float low, high;       /* what the outputs are kept between */
} conv_layer;

/* A batch and what becomes of it. Strides count floats. */
typedef struct rex_maps {
    const float *in;
    int64_t image, channel, row, column; /* strides of the input */
    float *out;                          /* N C H W, contiguous, all patches */
    int32_t images;
    int32_t first, last;                 /* rows of patches to compute, without the last */
} rex_maps;

/* The input is ReX's, or that of the convolution before it if `conv` is not NULL. Returns 0, or 1
 * when there is no memory for a few rows.
 */
EXEUNT_API int exeunt_rex(const rex_layer *layer, const conv_layer *conv, const rex_maps *maps,
                          int simd);

#endif
