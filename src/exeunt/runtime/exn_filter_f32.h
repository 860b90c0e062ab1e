/* A depthwise filter, a block of channels at a time. */
#ifndef EXN_FILTER_F32_H
#define EXN_FILTER_F32_H

#include "exn_f32.h"

enum { EXN_MAX_TAPS = 49 };

/* Adds the products of EXN_LANES channels, of all taps. */
EXN_INLINE void exn_add_taps(float *sums, const float *w, uint32_t pitch, const float *const *taps,
                             uint32_t count)
{
    float s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    float s4 = sums[4], s5 = sums[5], s6 = sums[6], s7 = sums[7];
    for (; count > 0; count--, w += pitch, taps++) {
        const float *x = *taps;
        if (x != NULL) {
            s0 += w[0] * x[0];
            s1 += w[1] * x[1];
            s2 += w[2] * x[2];
            s3 += w[3] * x[3];
            s4 += w[4] * x[4];
            s5 += w[5] * x[5];
            s6 += w[6] * x[6];
            s7 += w[7] * x[7];
        }
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    sums[4] = s4;
    sums[5] = s5;
    sums[6] = s6;
    sums[7] = s7;
}

/* Filters `lanes` channels from `first` on: taps point to the first of them, NULL is padding. */
EXN_INLINE void exn_filter_f32(const exn_depthwise_f32 *depthwise, const float *const *taps,
                               uint32_t first, uint32_t lanes, uint32_t channels, float *out)
{
    const float *weights = depthwise->weights + first;
    uint32_t count = (uint32_t)depthwise->window.height * depthwise->window.width;
    float sums[EXN_LANES];
    uint32_t i, t;
    for (i = 0; i < lanes; i++) {
        sums[i] = depthwise->biases[first + i];
    }
    if (lanes == EXN_LANES) {
        exn_add_taps(sums, weights, channels, taps, count);
    } else {
        for (t = 0; t < count; t++, weights += channels) {
            for (i = 0; i < lanes && taps[t] != NULL; i++) {
                sums[i] += weights[i] * taps[t][i];
            }
        }
    }
    for (i = 0; i < lanes; i++) {
        out[i] = exn_limit(sums[i], depthwise->low, depthwise->high);
    }
}

/* All channels of one output pixel; lines outside the map are NULL. */
EXN_INLINE void exn_filter_pixel_f32(const exn_depthwise_f32 *depthwise,
                                     const float *const *lines, int32_t column, int32_t width,
                                     uint32_t pitch, uint32_t channels, float *out)
{
    const exn_window *window = &depthwise->window;
    const float *taps[EXN_MAX_TAPS];
    uint32_t first;
    for (first = 0; first < channels; first += EXN_LANES) {
        const float **tap = taps;
        int32_t k, j;
        for (k = 0; k < window->height; k++) {
            for (j = 0; j < window->width; j++) {
                int32_t x = column + j;
                *tap++ = lines[k] == NULL || x < 0 || x >= width
                             ? NULL
                             : lines[k] + (uint32_t)x * pitch + first;
            }
        }
        exn_filter_f32(depthwise, taps, first, exn_lanes_left(first, channels), channels,
                       out + first);
    }
}

#endif
