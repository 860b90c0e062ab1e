/* Plain recurrent cells: tanh of what input and state give. */
#include "exn_exp_f32.h"
#include "exn_f32.h"

static void take(const exn_cell_f32 *cell, const float *x, float *gates)
{
    exn_take_input(cell, cell->hidden, x, gates);
}

static void step(const exn_cell_f32 *cell, const float *gates, float *state)
{
    float sums[EXN_MAX_HIDDEN];
    uint32_t hidden = cell->hidden, unit;
    exn_map(cell->hidden_weights, gates, hidden, state, hidden, sums);
    for (unit = 0; unit < hidden; unit++) {
        state[unit] = exn_tanh(sums[unit]);
    }
}

const exn_cell_kind_f32 exn_rnn_f32 = {take, step};
