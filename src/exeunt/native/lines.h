/* Lines of maps as vectors take them. */
#ifndef EXEUNT_LINES_H
#define EXEUNT_LINES_H

#include "simd.h"

static inline size_t rounded(size_t lanes)
{
    return (lanes + WIDEST - 1) / WIDEST * WIDEST;
}

/* The first place of a block at which a widest vector lies within one line of the cache. */
static inline float *aligned(float *block)
{
    return block + (WIDEST - (uintptr_t)block / sizeof *block % WIDEST) % WIDEST;
}

/* Takes floats of a block; with no block, counts what it would have to hold. */
static inline float *take(float *block, size_t *used, size_t count)
{
    float *place = block == NULL ? NULL : block + *used;
    *used += rounded(count);
    return place;
}

static inline void transpose(const float *from, size_t rows, size_t columns, float *to)
{
    size_t r, c;
    for (r = 0; r < rows; r++) {
        for (c = 0; c < columns; c++) {
            to[c * rows + r] = from[r * columns + c];
        }
    }
}

/* Has the next row brought near, which lies too far from this one for the processor to guess. */
static inline void fetch(const float *next, int32_t length)
{
#if defined(__GNUC__)
    int32_t i;
    for (i = 0; i < length; i += 16) {
        __builtin_prefetch(next + i);
    }
#else
    (void)next, (void)length;
#endif
}

/* Spreads a line over phases, which begin `phase` apart and have `lines` places each: place q of
 * phase t is what the t-th of `hop` taps reads in window q. Places in the padding are left alone.
 */
static inline void spread_line(const kernels *simd, const rex_axis *axis, int32_t hop,
                               const float *from, int64_t column, float *to, size_t phase,
                               size_t lines)
{
    int32_t t;
    for (t = 0; t < hop; t++, to += phase) {
        int32_t before = axis->before - t, after = axis->length + before;
        int32_t begin = before > 0 ? (before + axis->stride - 1) / axis->stride : 0;
        int32_t end = after > 0 ? (after + axis->stride - 1) / axis->stride : 0;
        end = end < (int32_t)lines ? end : (int32_t)lines;
        if (begin < end) {
            simd->spread(to + begin, from + (begin * axis->stride - before) * column,
                         (size_t)(end - begin), axis->stride * column);
        }
    }
}

#endif
