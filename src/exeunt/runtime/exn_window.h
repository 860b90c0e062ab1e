/* A window that slides over a map, padding included. */
#ifndef EXN_WINDOW_H
#define EXN_WINDOW_H

#include "exn_access.h"

typedef struct exn_window {
    uint8_t height, width;
    uint8_t stride_y, stride_x;
    uint8_t top, left;  /* padding */
} exn_window;

#endif
