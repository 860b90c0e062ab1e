/* Batch norm in training, and an activation that only bounds what comes of it, in one pass.
 *
 * There and back: sums over all pixels, what follows from them, and a pass that writes. The pixels
 * are shared out: whatever threads call `exeunt_norm_sum` take the shares in turn, and so with
 * `exeunt_norm_write`; in between one of them calls `exeunt_norm_close`. Maps lie channels last.
 */
#ifndef EXEUNT_NORM_H
#define EXEUNT_NORM_H

#include "exeunt.h"

#include <stdint.h>

typedef struct norm {
    const float *in;               /* pixel, channel */
    const float *gradients;        /* of what was put out; NULL on the way there */
    float *out;                    /* what is put out, or the gradients of `in` */
    const float *weights, *biases; /* channel */
    float *means, *variances;      /* channel; written on the way there, read on the way back */
    float *slopes, *offsets;       /* channel, likewise: of the line that `in` goes through */
    float *weight_gradients;       /* channel; written on the way back */
    float *bias_gradients;
    float *more, *rest;            /* channel; likewise: gradients are slope * g + more * in + rest */
    double *sums;                  /* share, 2, channel */
    int64_t pixels;
    int64_t apart;                 /* numbers from a pixel's gradients to the next one's */
    int32_t channels, shares;
    int32_t simd;
    int32_t next;                  /* share that nobody has taken; begins as 0 */
    int32_t failed;                /* set when there is no memory for a few rows; begins as 0 */
    float epsilon, low, high;      /* the output is kept between the last two */
} norm;

EXEUNT_API void exeunt_norm_sum(norm *layer);
EXEUNT_API void exeunt_norm_close(norm *layer);
EXEUNT_API void exeunt_norm_write(norm *layer);

#endif
