/* Gated recurrent units. */
#include "exn_cells_s8.h"
#include "exn_units_s8.h"

#ifdef EXN_DSP
#include "exn_dsp_gru.h"
#else
/* Within -65535 ... 65535. */
static int32_t limited(int32_t x)
{
    return exn_int17(exn_int17(x) - 1) + 1;
}

/* Gates and weights come unit by unit: reset, update, new. */
static void exn_step_units(const int16_t *weights, const exn_row *row, const int32_t *gates,
                           int16_t *state, const int16_t *before, const int16_t *end,
                           uint32_t filled)
{
    for (; state < end; state++, gates += 3) {
        int32_t sums[3] = {0}, reset, update, fresh;
        weights = exn_dot_3_s16(sums, weights, before, filled);
        reset = exn_sigmoid(exn_scale_next(&row, sums[0], gates[0]));
        update = exn_sigmoid(exn_scale_next(&row, sums[1], gates[1]));
        fresh = limited(exn_scale_next(&row, sums[2], 0));
        fresh = exn_hyperbolic(gates[2] + ((reset * fresh + 16384) >> 15));
        *state = (int16_t)(fresh + ((update * (*state - fresh) + 16384) >> 15));
    }
}
#endif

static void take_pixel(const exn_cell_s8 *cell, const int8_t *x, int32_t *gates)
{
    exn_project_pixel(cell, x, 3u * cell->hidden, gates);
}

static void take_state(const exn_cell_s8 *cell, const int16_t *x, int32_t *gates)
{
    exn_project_state(cell, x, 3u * cell->hidden, gates);
}

static void step(const exn_cell_s8 *cell, const int32_t *gates, int16_t *state)
{
    EXN_WORDS int16_t before[EXN_STATES];
    exn_fill(before, state, cell->hidden);
    exn_step_units(cell->hidden_weights, cell->hidden_rows, gates, state, before,
                   state + cell->hidden, exn_filled_size(cell->hidden));
}

#ifdef EXN_UNITS
static void step_units(const exn_units_cell *cell, const int32_t *gates, int16_t *state)
{
    const exn_units_map *on = &cell->on;
    uint32_t vectors = cell->pitch / EXN_ACROSS, v, hidden = cell->hidden;
    exn_across sums[EXN_MOST_GATES / EXN_ACROSS];
    int16_t before[EXN_STATES + 1];
    memcpy(before, state, hidden * sizeof *state);
    before[hidden] = 0;
    exn_units_sums(on->weights, on->steps, on->vectors, before, sums);
    for (v = 0; v < vectors; v++, gates += EXN_ACROSS) {
        const int32_t *updates = gates + cell->pitch, *news = updates + cell->pitch;
        exn_across reset = exn_units_scale(on, v, sums[v]);
        exn_across update = exn_units_scale(on, vectors + v, sums[vectors + v]);
        exn_across fresh = exn_units_scale(on, 2 * vectors + v, sums[2 * vectors + v]);
        exn_across old = exn_units_read(before, v * EXN_ACROSS, hidden);
        reset = exn_units_sigmoid(reset + exn_across_read(gates));
        update = exn_units_sigmoid(update + exn_across_read(updates));
        fresh = exn_across_least(fresh, exn_across_all(65535));
        fresh = exn_across_most(fresh, exn_across_all(-65535));
        fresh = (reset * fresh + 16384) >> 15;
        fresh = exn_units_hyperbolic(exn_across_read(news) + fresh);
        fresh += (update * (old - fresh) + 16384) >> 15;
        exn_units_write(state, v * EXN_ACROSS, hidden, fresh);
    }
}

static const exn_units_kind_s8 units = {3, NULL, step_units};

const exn_cell_kind_s8 exn_gru_s8 = {take_pixel, take_state, step, &units};
#else
const exn_cell_kind_s8 exn_gru_s8 = {take_pixel, take_state, step};
#endif
