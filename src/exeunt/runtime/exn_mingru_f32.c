/* Minimal gated units: gates, update and new, come from the input alone. */
#include "exn_exp_f32.h"
#include "exn_f32.h"

static void take(const exn_cell_f32 *cell, const float *x, float *gates)
{
    uint32_t hidden = cell->hidden, unit;
    exn_take_input(cell, 2 * hidden, x, gates);
    for (unit = 0; unit < hidden; unit++) {
        gates[unit] = exn_sigmoid(gates[unit]);
        gates[hidden + unit] = exn_tanh(gates[hidden + unit]);
    }
}

static void step(const exn_cell_f32 *cell, const float *gates, float *state)
{
    const float *fresh = gates + cell->hidden;
    uint32_t unit;
    for (unit = 0; unit < cell->hidden; unit++) {
        state[unit] += gates[unit] * (fresh[unit] - state[unit]);
    }
}

const exn_cell_kind_f32 exn_mingru_f32 = {take, step};
