/* A depthwise filter of one pixel. */
#ifndef EXN_FILTER_S8_H
#define EXN_FILTER_S8_H

#include "exn_s8.h"

enum { EXN_MAX_TAPS = 49 };

/* Filters `n` channels from `first` on, the beginning of a block; taps point to it, and so does
 * `out`. What lies at `out` goes to `old` before, unless that is NULL. */
void exn_filter_s8(const exn_depthwise_s8 *depthwise, const int8_t *const *taps, uint32_t first,
                   uint32_t n, int8_t *out, int8_t *old);

/* Channels, filled up to whole blocks. */
EXN_INLINE uint32_t exn_blocks_size(uint32_t channels)
{
    return (channels + EXN_BLOCK - 1) / EXN_BLOCK * EXN_BLOCK;
}

/* The taps of the window that begins at `column`; lines outside the map are NULL. */
EXN_INLINE void exn_taps_s8(const exn_depthwise_s8 *depthwise, const int8_t *const *lines,
                            int32_t column, int32_t width, uint32_t pitch, const int8_t **taps)
{
    int32_t k, x, end = column + depthwise->window.width;
    for (k = 0; k < depthwise->window.height; k++) {
        for (x = column; x < end; x++) {
            *taps++ = lines[k] == NULL || x < 0 || x >= width ? depthwise->blank
                                                              : lines[k] + (uint32_t)x * pitch;
        }
    }
}

#endif
