/* A window that slides over a map, padding included. */
#ifndef EXN_WINDOW_H
#define EXN_WINDOW_H

#include "exn_access.h"

typedef struct exn_window {
    uint8_t height, width;
    uint8_t stride_y, stride_x;
    uint8_t top, left;  /* padding */
} exn_window;

EXN_INLINE int32_t exn_larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

EXN_INLINE int32_t exn_smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* The window of one output pixel, as far as it lies on the map. */
typedef struct exn_area {
    int32_t top, bottom, left, right;
    int32_t count;  /* of pixels that an average divides by */
} exn_area;

EXN_INLINE exn_area exn_area_of(const exn_window *window, int count_padding, const exn_ring *in,
                                uint32_t row, uint32_t x)
{
    exn_area found;
    int32_t bottom, right;
    found.top = (int32_t)row * window->stride_y - window->top;
    found.left = (int32_t)x * window->stride_x - window->left;
    bottom = exn_smaller(found.top + window->height, in->height + window->top);
    right = exn_smaller(found.left + window->width, in->width + window->left);
    found.count = (bottom - found.top) * (right - found.left);
    found.top = exn_larger(found.top, 0);
    found.left = exn_larger(found.left, 0);
    found.bottom = exn_smaller(bottom, in->height);
    found.right = exn_smaller(right, in->width);
    if (!count_padding) {
        found.count = (found.bottom - found.top) * (found.right - found.left);
    }
    return found;
}

#endif
