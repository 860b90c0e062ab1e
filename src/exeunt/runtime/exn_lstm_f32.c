/* Long short-term memory. */
#include "exn_exp_f32.h"
#include "exn_f32.h"

enum { MAX_GATES = 3 * EXN_MAX_HIDDEN };

static void take(const exn_cell_f32 *cell, const float *x, float *gates)
{
    exn_take_input(cell, 4u * cell->hidden, x, gates);
}

/* Gates come one after the other, all units of each: take, keep, new, show. Of a state the memories
 * come behind what is shown. */
static void step(const exn_cell_f32 *cell, const float *gates, float *state)
{
    float sums[MAX_GATES];
    uint32_t hidden = cell->hidden, unit;
    const float *keep = sums + hidden, *fresh = keep + hidden, *show = fresh + hidden;
    float *memory = state + hidden;
    exn_map(cell->hidden_weights, gates, 4 * hidden, state, hidden, sums);
    for (unit = 0; unit < hidden; unit++) {
        float added = exn_sigmoid(sums[unit]) * exn_tanh(fresh[unit]);
        memory[unit] = exn_sigmoid(keep[unit]) * memory[unit] + added;
        state[unit] = exn_sigmoid(show[unit]) * exn_tanh(memory[unit]);
    }
}

const exn_cell_kind_f32 exn_lstm_f32 = {take, step};
