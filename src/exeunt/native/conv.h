/* A convolution with few input channels, as networks begin with. */
#ifndef EXEUNT_CONV_H
#define EXEUNT_CONV_H

#include "rex.h"

typedef struct conv_layer {
    const float *weights; /* output, channel, row, column */
    const float *biases;
    rex_axis down, across; /* windows for patches, `repeat` being 0 */
    int32_t channels, outputs;
    float low, high;       /* what the outputs are kept between */
} conv_layer;

/* Maps are N C H W, contiguous. Returns as `exeunt_rex` does. */
EXEUNT_API int exeunt_conv(const conv_layer *layer, const float *in, float *out, int32_t images,
                           int simd);

#endif
