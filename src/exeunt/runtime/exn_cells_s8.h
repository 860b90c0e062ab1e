/* What the recurrent cells of ReX have in common. Gates are sums of 4096ths. */
#ifndef EXN_CELLS_S8_H
#define EXN_CELLS_S8_H

#include "exn_s8.h"
#include "exn_tanh.h"
#ifdef EXN_DSP
#include "exn_dsp_gates.h"
#endif

#include <string.h>

enum { EXN_MOST_WIDE = EXN_WIDEST < 64 ? EXN_WIDEST : 64 }; /* channels of a pixel that is widened */

/* tanh of 4096ths, in 32768ths. */
EXN_INLINE int32_t exn_hyperbolic(int32_t x)
{
    const exn_line *lines = exn_tanh_lines + 256;
    x = exn_int16(x);
    return exn_height(lines + (x >> 7), x & 127) >> 7;
}

/* (32768 + tanh(x / 2)) / 2. */
EXN_INLINE int32_t exn_sigmoid(int32_t x)
{
    const exn_line *lines = exn_tanh_lines + 256;
    x = exn_int17(x);
    return 16384 + (exn_height(lines + (x >> 8), x >> 1 & 127) >> 8);
}

EXN_INLINE uint32_t exn_filled_size(uint32_t hidden)
{
    return (hidden + 7) & ~(uint32_t)7;
}

/* Copies a state, and fills it up with zeros. */
EXN_INLINE void exn_fill(int16_t *into, const int16_t *state, uint32_t hidden)
{
    uint32_t i;
    memset(into + exn_filled_size(hidden) - 8, 0, 8 * sizeof *into);
    for (i = 0; i + 8 <= hidden; i += 8) {
        memcpy(into + i, state + i, 8 * sizeof *state);
    }
    for (; i + 2 <= hidden; i += 2) {
        memcpy(into + i, state + i, 2 * sizeof *state);
    }
    if (i < hidden) {
        into[i] = state[i];
    }
}

/* A state that is filled up: itself, or a copy. */
EXN_INLINE const int16_t *exn_filled_up(const int16_t *state, uint32_t hidden, int16_t *copy)
{
    if (hidden % 8 == 0) {
        return state;
    }
    exn_fill(copy, state, hidden);
    return copy;
}

/* What a pixel that is too long to be widened adds to gates. */
EXN_INLINE void exn_project_long(const exn_cell_s8 *cell, const int8_t *x, const exn_row *end,
                                 int32_t *gates)
{
    const int16_t *weights = cell->input_weights;
    const exn_row *row = cell->input_rows;
    uint32_t k;
    while (row < end) {
        int32_t sums[4] = {0};
        weights = exn_dot_4(sums, weights, x, cell->inputs);
        for (k = 0; k < 4; k++) {
            *gates++ = exn_scale_next(&row, sums[k], 0);
        }
    }
}

/* What a pixel adds to so many gates, four at a time. */
EXN_INLINE void exn_project_pixel(const exn_cell_s8 *cell, const int8_t *x, uint32_t count,
                                  int32_t *gates)
{
    const int16_t *weights = cell->input_weights;
    const exn_row *row = cell->input_rows, *end = row + count;
    EXN_WORDS int16_t wide[EXN_COPIES * EXN_MOST_WIDE];
    if (cell->inputs > EXN_MOST_WIDE) {
        exn_project_long(cell, x, end, gates);
        return;
    }
    exn_widen(wide, x, cell->inputs);
#ifdef EXN_DSP
    exn_gate_fours(weights, wide, wide + exn_whole_fours(cell->inputs), row,
                   exn_left_out(cell->inputs), gates + ((count + 3) & ~(uint32_t)3), 0, gates);
    (void)end;
#else
    while (row < end) {
        int32_t sums[4] = {0};
        uint32_t k;
        weights = exn_dot_4_wide(sums, weights, wide, (cell->inputs + 7u) & ~7u);
        for (k = 0; k < 4; k++) {
            *gates++ = exn_scale_next(&row, sums[k], 0);
        }
    }
#endif
}

/* What a state adds to so many gates, three at a time. */
EXN_INLINE void exn_project_state(const exn_cell_s8 *cell, const int16_t *x, uint32_t count,
                                  int32_t *gates)
{
    EXN_WORDS int16_t copy[EXN_STATES];
    const int16_t *inputs = exn_filled_up(x, cell->inputs, copy);
    const int16_t *weights = cell->input_weights;
    const exn_row *row = cell->input_rows, *end = row + count;
    for (; row < end; gates += 3) {
        int32_t sums[3] = {0};
        weights = exn_dot_3_s16(sums, weights, inputs, exn_filled_size(cell->inputs));
        gates[0] = exn_scale_next(&row, sums[0], 0);
        gates[1] = exn_scale_next(&row, sums[1], 0);
        gates[2] = exn_scale_next(&row, sums[2], 0);
    }
}

#endif
