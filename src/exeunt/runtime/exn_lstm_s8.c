/* Long short-term memory. */
#include "exn_cells_s8.h"

static void take_pixel(const exn_cell_s8 *cell, const int8_t *x, int32_t *gates)
{
    exn_project_pixel(cell, x, 4u * cell->hidden, gates);
}

static void take_state(const exn_cell_s8 *cell, const int16_t *x, int32_t *gates)
{
    exn_project_state(cell, x, 4u * cell->hidden, gates);
}

/* Gates and weights come unit by unit: take, keep, new, show. Of a state the memories, in 4096ths,
 * come behind what is shown. Four times three rows are three units. */
static void step(const exn_cell_s8 *cell, const int32_t *gates, int16_t *state)
{
    EXN_WORDS int16_t before[EXN_STATES];
    uint32_t hidden = cell->hidden, filled = exn_filled_size(hidden), left = 4 * hidden, k;
    const int16_t *weights = cell->hidden_weights;
    const exn_row *row = cell->hidden_rows;
    int16_t *memory = state + hidden;
    exn_fill(before, state, hidden);
    while (left > 0) {
        int32_t sums[12] = {0};
        uint32_t rows = left < 12 ? left : 12;
        for (k = 0; k < rows; k += 3) {
            weights = exn_dot_3_s16(sums + k, weights, before, filled);
        }
        for (k = 0; k < rows; k += 4, gates += 4) {
            int32_t take = exn_sigmoid(exn_scale_next(&row, sums[k], gates[0]));
            int32_t keep = exn_sigmoid(exn_scale_next(&row, sums[k + 1], gates[1]));
            int32_t fresh = exn_hyperbolic(exn_scale_next(&row, sums[k + 2], gates[2]));
            int32_t show = exn_sigmoid(exn_scale_next(&row, sums[k + 3], gates[3]));
            int32_t kept = exn_int16((keep * *memory + (take * fresh >> 3) + 16384) >> 15);
            *memory++ = (int16_t)kept;
            *state++ = (int16_t)((show * exn_hyperbolic(kept) + 16384) >> 15);
        }
        left -= rows;
    }
}

#ifdef EXN_UNITS
const exn_cell_kind_s8 exn_lstm_s8 = {take_pixel, take_state, step, NULL};
#else
const exn_cell_kind_s8 exn_lstm_s8 = {take_pixel, take_state, step};
#endif
