/* A depthwise filter of one pixel. */
#ifndef EXN_FILTER_S8_H
#define EXN_FILTER_S8_H

#include "exn_s8.h"

enum { EXN_MAX_TAPS = 49 };

/* Filters `n` channels from `first` on, a multiple of 4; taps point to it, and so does `out`. What lies at `out` goes to `old` before, unless that is NULL. */
void exn_filter_s8(const exn_depthwise_s8 *depthwise, const int8_t *const *taps, uint32_t first,
                   uint32_t n, int8_t *out, int8_t *old);

/* Channels, filled up to a multiple of 4. */
EXN_INLINE uint32_t exn_fours_size(uint32_t channels)
{
    return (channels + 3) & ~(uint32_t)3;
}

/* The taps of one line, `size` pixels from `column` on; a line outside the map is NULL. */
EXN_INLINE const int8_t **exn_line_taps(const int8_t **taps, const int8_t *line, int32_t column,
                                        int32_t size, int32_t width, uint32_t pitch,
                                        const int8_t *blank)
{
    int32_t x, end = column + size;
    if (line != NULL && column >= 0 && end <= width) {
        line += (uint32_t)column * pitch;
        for (; size > 0; size--, line += pitch) {
            *taps++ = line;
        }
        return taps;
    }
    for (x = column; x < end; x++) {
        *taps++ = line == NULL || x < 0 || x >= width ? blank : line + (uint32_t)x * pitch;
    }
    return taps;
}

/* The taps of the window that begins at `column`; lines outside the map are NULL. */
EXN_INLINE void exn_taps_s8(const exn_depthwise_s8 *depthwise, const int8_t *const *lines,
                            int32_t column, int32_t width, uint32_t pitch, const int8_t **taps)
{
    int32_t k;
    for (k = 0; k < depthwise->window.height; k++) {
        taps = exn_line_taps(taps, lines[k], column, depthwise->window.width, width, pitch,
                             depthwise->blank);
    }
}

/* The same, given those of the window before: where both see nothing but the map, all taps move on
 * alike. `whole` says that no line is NULL. */
EXN_INLINE void exn_next_taps_s8(const exn_depthwise_s8 *depthwise, const int8_t *const *lines,
                                 int whole, int32_t column, int32_t width, uint32_t pitch,
                                 const int8_t **taps)
{
    uint32_t count = (uint32_t)depthwise->window.height * depthwise->window.width;
    uint32_t by = depthwise->window.stride_x * pitch;
    const int8_t **end = taps + count;
    if (!whole || column < depthwise->window.stride_x || column + depthwise->window.width > width) {
        exn_taps_s8(depthwise, lines, column, width, pitch, taps);
        return;
    }
    for (; taps < end; taps++) {
        *taps += by;
    }
}

/* Whether no line is NULL. */
EXN_INLINE int exn_whole_lines(const int8_t *const *lines, uint32_t count)
{
    int whole = 1;
    for (; count > 0; count--) {
        whole = whole && *lines++ != NULL;
    }
    return whole;
}

#endif
