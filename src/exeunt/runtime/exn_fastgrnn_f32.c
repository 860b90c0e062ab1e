/* FastGRNN cells: update and new share what input and state give, and differ in biases.
 *
 * hidden_biases: update, new, then how much of the new comes in where the old goes, and always.
 */
#include "exn_exp_f32.h"
#include "exn_f32.h"

static void take(const exn_cell_f32 *cell, const float *x, float *gates)
{
    exn_take_input(cell, cell->hidden, x, gates);
}

static void step(const exn_cell_f32 *cell, const float *gates, float *state)
{
    float shared[EXN_MAX_HIDDEN];
    uint32_t hidden = cell->hidden, unit;
    const float *biases = cell->hidden_biases, *mix = biases + 2 * hidden;
    exn_map(cell->hidden_weights, gates, hidden, state, hidden, shared);
    for (unit = 0; unit < hidden; unit++) {
        float update = exn_sigmoid(shared[unit] + biases[unit]);
        float fresh = exn_tanh(shared[unit] + biases[hidden + unit]);
        state[unit] = update * state[unit] + (mix[0] * (1.0f - update) + mix[1]) * fresh;
    }
}

const exn_cell_kind_f32 exn_fastgrnn_f32 = {take, step};
