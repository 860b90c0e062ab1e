/* A depthwise filter, a block of channels at a time. */
#ifndef EXN_FILTER_F32_H
#define EXN_FILTER_F32_H

#include "exn_f32.h"

enum { EXN_MAX_TAPS = 49 };

/* Filters `lanes` channels from `first` on: taps point to the first of them, NULL is padding. */
EXN_INLINE void exn_filter_f32(const exn_depthwise_f32 *depthwise, const float *const *taps,
                               uint32_t first, uint32_t lanes, uint32_t channels, float *out)
{
    const float *weights = depthwise->weights + first;
    uint32_t count = (uint32_t)depthwise->window.height * depthwise->window.width;
    float sums[EXN_LANES];
    exn_copy(sums, depthwise->biases + first, lanes);
    exn_add_taps(sums, lanes, weights, channels, taps, count);
    exn_copy_limited(out, sums, lanes, depthwise->low, depthwise->high);
    exn_apply(depthwise->function, out, lanes);
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
