/* Plain recurrent cells: tanh of what input and state give. */
#include "exn_cells_s8.h"

static void take_pixel(const exn_cell_s8 *cell, const int8_t *x, int32_t *gates)
{
    exn_project_pixel(cell, x, cell->hidden, gates);
}

static void take_state(const exn_cell_s8 *cell, const int16_t *x, int32_t *gates)
{
    exn_project_state(cell, x, cell->hidden, gates);
}

static void step(const exn_cell_s8 *cell, const int32_t *gates, int16_t *state)
{
    EXN_WORDS int16_t before[EXN_STATES];
    uint32_t hidden = cell->hidden, filled = exn_filled_size(hidden), unit, k;
    const int16_t *weights = cell->hidden_weights;
    const exn_row *row = cell->hidden_rows;
    exn_fill(before, state, hidden);
    for (unit = 0; unit < hidden; unit += 3) {
        int32_t sums[3] = {0};
        weights = exn_dot_3_s16(sums, weights, before, filled);
        for (k = unit; k < unit + 3 && k < hidden; k++) {
            state[k] = (int16_t)exn_hyperbolic(exn_scale_next(&row, sums[k - unit], gates[k]));
        }
    }
}

#ifdef EXN_UNITS
const exn_cell_kind_s8 exn_rnn_s8 = {take_pixel, take_state, step, NULL};
#else
const exn_cell_kind_s8 exn_rnn_s8 = {take_pixel, take_state, step};
#endif
