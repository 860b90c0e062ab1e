/* Batch norm in training, and an activation that only bounds what comes of it, in one pass.
 *
 * There and back: sums over all pixels, what follows from them, and a pass that writes. Pixels may
 * be shared out among threads, each with sums of its own. Maps lie channels last.
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
    int64_t pixels;
    int32_t channels;
    float epsilon, low, high;      /* the output is kept between the last two */
} norm;

/* Sums over the pixels from `first` to before `last`: 2, channel. Returns 0, or 1 when there is no
 * memory for a few rows of numbers. So does `exeunt_norm_write`.
 */
EXEUNT_API int exeunt_norm_sum(const norm *layer, int64_t first, int64_t last, double *sums,
                               int simd);

/* What follows from the sums of all `shares` of the pixels, which lie one after the other. */
EXEUNT_API void exeunt_norm_close(const norm *layer, const double *sums, int32_t shares);

EXEUNT_API int exeunt_norm_write(const norm *layer, int64_t first, int64_t last, int simd);

#endif
