/* What goes through an inverted residual while it makes a row. */
#ifndef EXN_RESIDUAL_S8_H
#define EXN_RESIDUAL_S8_H

#include "exn_filter_s8.h"

enum { EXN_MAX_SIZE = 7, EXN_MAX_STRIDE = 2 };

typedef struct exn_pass {
    const exn_residual_s8 *spec;
    const exn_ring *in;
    const int8_t *fresh[EXN_MAX_SIZE];  /* input rows, NULL outside the map */
    int8_t *kept[EXN_MAX_SIZE];         /* expanded rows, oldest first, NULL outside the map */
    int8_t *into[EXN_MAX_SIZE];         /* where a fresh row goes, NULL if no later row reads it */
    int8_t *waiting;                    /* fresh row, column modulo places, channel */
    int32_t size, stride, held, rows, places, left, width;
    uint32_t hidden;
} exn_pass;

/* Makes a row of one that expands, and has room for more than it keeps. */
void exn_roomy_row_s8(exn_pass *pass, const exn_ring *ring, int8_t *room, const int8_t *input,
                      int8_t *out);

/* Makes a row of one that filters its input as it is, and has room. */
void exn_roomy_plain_s8(const exn_residual_s8 *spec, const exn_ring *in, const exn_ring *ring,
                        const int8_t *const *lines, int8_t *room, const int8_t *input, int8_t *out);

#endif
