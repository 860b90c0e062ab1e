/* A depthwise filter, a block of channels at a time. */
#ifndef EXN_FILTER_S8_H
#define EXN_FILTER_S8_H

#include "exn_s8.h"

enum { EXN_BLOCK = 16, EXN_MAX_TAPS = 49 };

/* Filters `n` channels from `first` on: taps point to the first of them, NULL is padding. */
EXN_INLINE void exn_filter_s8(const exn_depthwise_s8 *depthwise, const int8_t *const *taps,
                              uint32_t first, uint32_t n, uint32_t channels, int8_t *out)
{
    const int8_t *weights = depthwise->weights + first;
    uint32_t count = (uint32_t)depthwise->window.height * depthwise->window.width;
    int32_t sums[EXN_BLOCK];
    uint32_t i, t;
    for (i = 0; i < n; i++) {
        sums[i] = depthwise->biases[first + i];
    }
    for (t = 0; t < count; t++, weights += channels) {
        const int8_t *tap = taps[t];
        if (tap == NULL) {
            for (i = 0; i < n; i++) {
                sums[i] += weights[i] * depthwise->zero;
            }
        } else if (n == EXN_BLOCK) {
            for (i = 0; i < EXN_BLOCK; i++) {
                sums[i] += weights[i] * tap[i];
            }
        } else {
            for (i = 0; i < n; i++) {
                sums[i] += weights[i] * tap[i];
            }
        }
    }
    for (i = 0; i < n; i++) {
        out[i] = exn_quantized(sums[i], &depthwise->requantize, first + i);
    }
}

/* A row of depthwise filtering of whole rows; lines outside the map are NULL. */
EXN_INLINE void exn_filter_pixel_s8(const exn_depthwise_s8 *depthwise,
                                    const int8_t *const *lines, int32_t column, int32_t width,
                                    uint32_t pitch, uint32_t channels, int8_t *out)
{
    const exn_window *window = &depthwise->window;
    const int8_t *taps[EXN_MAX_TAPS];
    uint32_t first;
    for (first = 0; first < channels; first += EXN_BLOCK) {
        uint32_t n = channels - first < EXN_BLOCK ? channels - first : EXN_BLOCK;
        const int8_t **tap = taps;
        int32_t k, j;
        for (k = 0; k < window->height; k++) {
            for (j = 0; j < window->width; j++) {
                int32_t x = column + j;
                *tap++ = lines[k] == NULL || x < 0 || x >= width
                             ? NULL
                             : lines[k] + (uint32_t)x * pitch + first;
            }
        }
        exn_filter_s8(depthwise, taps, first, n, channels, out + first);
    }
}

/* The lines under a window, NULL where they lie outside the map. */
EXN_INLINE void exn_lines_s8(const exn_ring *in, uint8_t *arena, const exn_window *window,
                             uint32_t row, uint32_t first, const int8_t **lines)
{
    int32_t top = (int32_t)row * window->stride_y - window->top;
    int32_t k;
    for (k = 0; k < window->height; k++) {
        int32_t y = top + k;
        lines[k] = y < 0 || y >= in->height
                       ? NULL
                       : (const int8_t *)exn_place(in, arena, (uint32_t)y) + first;
    }
}

#endif
