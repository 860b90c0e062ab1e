/* A convolution with few input channels, as networks begin with, whose rows ReX reads. */
#ifndef EXEUNT_CONV_H
#define EXEUNT_CONV_H

#include "simd.h"

typedef struct conv_rows {
    const conv_layer *layer; /* NULL if ReX reads maps */
    affine map;
    const float **taps;      /* channel, row, column of the window */
    float *rows;             /* channel, row in turn, lane */
    float *low, *high;       /* lane: what the outputs are kept between, zeros in the padding */
    rex_axis across;         /* what ReX's windows are in columns of the input */
    int32_t columns, hop;    /* of the input under one hop of ReX's, and of the output */
    size_t phase, lines;     /* as ReX has them: from a column to the next, and of an image */
    size_t wide;             /* of a row */
    int32_t line;            /* the first that no row has read, padding included; set to 0 */
} conv_rows;

/* How many pointers `taps` has to hold. */
size_t conv_taps(const conv_layer *layer);

/* Lays it out in a block for ReX's windows, or counts what it uses. */
void conv_lay_out(conv_rows *s, const conv_layer *layer, const rex_axis *across,
                  const kernels *simd, int images, float *block, size_t *used);

/* Computes a row for images side by side: output, lane. Rows come in order. */
void conv_row(conv_rows *s, const rex_maps *maps, const kernels *simd, int32_t image, int images,
              int32_t row, float *to, size_t wide);

#endif
