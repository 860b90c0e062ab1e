/* What moves numbers and changes none, whatever their type. */
#ifndef EXN_MOVE_H
#define EXN_MOVE_H

#include "exn.h"

/* Some rows, columns and channels of a map, in another place. */
typedef struct exn_move {
    int16_t top, left, channel;  /* of the input, where the output begins */
    uint16_t step_y, step_x, step_channel;
    uint8_t number_bytes;
    int8_t blank;                /* every byte of what lies beside the map */
} exn_move;

typedef struct exn_flatten {
    uint8_t number_bytes;
} exn_flatten, exn_unflatten, exn_beside;

typedef struct exn_shuffle {
    const uint16_t *to;  /* where each channel of the input goes; nowhere if that is no channel */
    uint8_t number_bytes;
} exn_shuffle;

typedef struct exn_lines {
    const uint16_t *down, *across;  /* the row and the column of the input that each is */
    uint8_t number_bytes;
} exn_lines;

exn_kernel exn_beside_make;
exn_kernel exn_shuffle_make;
exn_kernel exn_lines_make;
exn_kernel exn_move_make;
exn_kernel exn_flatten_make;
exn_kernel exn_unflatten_make;

#endif
