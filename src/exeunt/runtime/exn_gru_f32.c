/* Gated recurrent units. */
#include "exn_exp_f32.h"
#include "exn_f32.h"

static void take(const exn_cell_f32 *cell, const float *x, float *gates)
{
    exn_take_input(cell, 3u * cell->hidden, x, gates);
}

/* Gates come one after the other, all units of each: reset, update, new. */
static void step(const exn_cell_f32 *cell, const float *gates, float *state)
{
    float recurrent[3 * EXN_MAX_HIDDEN];
    uint32_t hidden = cell->hidden, unit;
    exn_map(cell->hidden_weights, cell->hidden_biases, 3 * hidden, state, hidden, recurrent);
    for (unit = 0; unit < hidden; unit++) {
        uint32_t u = hidden + unit, n = u + hidden;
        float reset = exn_sigmoid(gates[unit] + recurrent[unit]);
        float update = exn_sigmoid(gates[u] + recurrent[u]);
        float fresh = exn_tanh(gates[n] + reset * recurrent[n]);
        state[unit] = fresh + update * (state[unit] - fresh);
    }
}

const exn_cell_kind_f32 exn_gru_f32 = {take, step};
