/* Cells whose units lie side by side in vectors, for x86 with AVX2 or AVX-512, and for NEON;
 * `exn_gru_s8.c` and `exn_mingru_s8.c` have them one by one, with the same numbers.
 *
 * Weights are laid out anew for every row of a map: of each input, or two, those of all units of a
 * gate, then of the next gate. Units are filled up to whole vectors; gates lie likewise.
 */
#ifndef EXN_UNITS_S8_H
#define EXN_UNITS_S8_H

#include "exn_s8.h"

#include <string.h>

#ifdef EXN_UNITS
#ifdef EXN_X86
#include "exn_units_x86.h"
#else
#include "exn_units_neon.h"
#endif

enum { EXN_MOST_GATES = 3 * EXN_STATES, EXN_MOST_INPUTS = 64 };

/* What inputs or states add to gates. */
typedef struct exn_units_map {
    uint32_t steps;    /* over inputs */
    uint32_t vectors;  /* of gates */
    int32_t bias[EXN_MOST_GATES], multiplier[EXN_MOST_GATES], shift[EXN_MOST_GATES];
    int16_t weights[EXN_MOST_INPUTS * EXN_MOST_GATES];
} exn_units_map;

/* A cell, laid out. */
typedef struct exn_units_cell {
    uint32_t inputs, hidden, pitch;  /* from a gate to the next */
    exn_units_map into, on;
} exn_units_cell;

/* What cells of a kind do, laid out: make of gates what steps read, if that is another, and go on. */
typedef struct exn_units_kind_s8 {
    uint32_t gates;
    void (*activate)(const exn_units_cell *cell, int32_t *gates);
    void (*step)(const exn_units_cell *cell, const int32_t *gates, int16_t *state);
} exn_units_kind_s8;

/* Where the weight of an input, or a state, for one of `gates` lies. */
EXN_INLINE uint32_t exn_units_place(uint32_t input, uint32_t gate, uint32_t gates)
{
    return (input / EXN_TOGETHER * gates + gate) * EXN_TOGETHER + input % EXN_TOGETHER;
}

/* The gate that a row of weights is of: rows come unit by unit. */
EXN_INLINE uint32_t exn_units_gate(const exn_units_cell *to, uint32_t row, uint32_t gates)
{
    return row % gates * to->pitch + row / gates;
}

EXN_INLINE void exn_units_rows(const exn_units_cell *to, const exn_row *rows, uint32_t gates,
                               exn_units_map *map)
{
    uint32_t row, k;
    for (k = 0; k < gates * to->pitch; k++) {
        map->bias[k] = map->multiplier[k] = 0;
        map->shift[k] = 1;
    }
    for (row = 0; row < gates * to->hidden; row++) {
        k = exn_units_gate(to, row, gates);
        map->bias[k] = rows[row].bias;
        map->multiplier[k] = rows[row].multiplier;
        map->shift[k] = rows[row].shift;
    }
}

/* Rows over 16-bit numbers, three together. */
EXN_INLINE void exn_units_threes(const exn_units_cell *to, const int16_t *weights, uint32_t inputs,
                                 uint32_t gates, int16_t *into)
{
    uint32_t filled = (inputs + 7) & ~(uint32_t)7, all = gates * to->pitch, row, i;
    memset(into, 0, ((inputs + 1) & ~(uint32_t)1) * all * sizeof *into);
    for (row = 0; row < gates * to->hidden; row++) {
        const int16_t *from = weights + row / 3 * 3 * filled + row % 3 * 8;
        uint32_t gate = exn_units_gate(to, row, gates);
        for (i = 0; i < inputs; i++) {
            into[exn_units_place(i, gate, all)] = from[i / 8 * 24 + i % 8];
        }
    }
}

/* Packed rows, four together. */
EXN_INLINE void exn_units_fours(const exn_units_cell *to, const int16_t *weights, uint32_t inputs,
                                uint32_t gates, int16_t *into)
{
    static const uint8_t places[4] = {0, 2, 1, 3};
    uint32_t filled = (inputs + 7) & ~(uint32_t)7, all = gates * to->pitch, row, i;
    memset(into, 0, ((inputs + 1) & ~(uint32_t)1) * all * sizeof *into);
    for (row = 0; row < gates * to->hidden; row++) {
        const int16_t *from = weights + row / 4 * 2 * filled + row % 4 / 2 * 4;
        uint32_t gate = exn_units_gate(to, row, gates);
        for (i = 0; i < inputs; i++) {
            int16_t both = from[i / 4 * 8 + places[i % 4]], first = (int8_t)(uint8_t)both;
            into[exn_units_place(i, gate, all)] =
                (int16_t)(row % 2 == 0 ? first : (both - first) / 256);
        }
    }
}

/* Lays a cell out, whose inputs are pixels or states. */
EXN_INLINE void exn_units_lay_out(exn_units_cell *to, const exn_cell_s8 *cell, uint32_t gates,
                                  int states)
{
    to->inputs = cell->inputs;
    to->hidden = cell->hidden;
    to->pitch = (cell->hidden + EXN_ACROSS - 1u) / EXN_ACROSS * EXN_ACROSS;
    to->into.vectors = to->on.vectors = gates * to->pitch / EXN_ACROSS;
    to->into.steps = (cell->inputs + EXN_TOGETHER - 1u) / EXN_TOGETHER;
    to->on.steps = (cell->hidden + EXN_TOGETHER - 1u) / EXN_TOGETHER;
    exn_units_rows(to, cell->input_rows, gates, &to->into);
    if (states) {
        exn_units_threes(to, cell->input_weights, cell->inputs, gates, to->into.weights);
    } else {
        exn_units_fours(to, cell->input_weights, cell->inputs, gates, to->into.weights);
    }
    if (cell->hidden_weights != NULL) {
        exn_units_rows(to, cell->hidden_rows, gates, &to->on);
        exn_units_threes(to, cell->hidden_weights, cell->hidden, gates, to->on.weights);
    }
}

/* A vector of sums, and the biases of their rows, times the rows' factors. */
EXN_INLINE exn_across exn_units_scale(const exn_units_map *map, uint32_t vector, exn_across sums)
{
    uint32_t at = vector * EXN_ACROSS;
    exn_across value = exn_across_read(map->bias + at) + (sums << EXN_SPARE);
    exn_across by = exn_across_read(map->shift + at);
    value = exn_across_high(value, exn_across_read(map->multiplier + at));
    return exn_across_halve(value, by);
}

/* tanh of 4096ths, in 32768ths. */
EXN_INLINE exn_across exn_units_hyperbolic(exn_across x)
{
    exn_across size = exn_across_least(exn_across_size(x), exn_across_all(32767));
    exn_across at = exn_across_least(size >> 7, exn_across_all(EXN_HEIGHTS - 2));
    return exn_across_signed(exn_across_between(at, size & 127), x);
}

EXN_INLINE exn_across exn_units_sigmoid(exn_across x)
{
    return 16384 + (exn_units_hyperbolic(x >> 1) >> 1);
}

/* Sums over 16-bit numbers, whole steps of them, of every gate. */
EXN_INLINE void exn_units_sums(const int16_t *weights, uint32_t steps, uint32_t vectors,
                               const int16_t *x, exn_across *sums)
{
    uint32_t v = 0;
    for (; v + 6 <= vectors; v += 6) {
        exn_across_dot(sums + v, weights + v * EXN_ACROSS * EXN_TOGETHER, x, steps, vectors, 6);
    }
    for (; v + 3 <= vectors; v += 3) {
        exn_across_dot(sums + v, weights + v * EXN_ACROSS * EXN_TOGETHER, x, steps, vectors, 3);
    }
    for (; v < vectors; v++) {
        exn_across_dot(sums + v, weights + v * EXN_ACROSS * EXN_TOGETHER, x, steps, vectors, 1);
    }
}

/* What numbers, filled up with zeros, add to gates. */
EXN_INLINE void exn_units_project(const exn_units_cell *cell, const int16_t *x, int32_t *gates)
{
    const exn_units_map *map = &cell->into;
    exn_across sums[EXN_MOST_GATES / EXN_ACROSS];
    uint32_t v;
    exn_units_sums(map->weights, map->steps, map->vectors, x, sums);
    for (v = 0; v < map->vectors; v++) {
        exn_across_write(gates + v * EXN_ACROSS, exn_units_scale(map, v, sums[v]));
    }
}

/* What steps read of a pixel or a state, filled up with zeros. */
EXN_INLINE void exn_units_take(const exn_units_kind_s8 *kind, const exn_units_cell *cell,
                               const int16_t *x, int32_t *gates)
{
    exn_units_project(cell, x, gates);
    if (kind->activate != NULL) {
        kind->activate(cell, gates);
    }
}

EXN_INLINE void exn_units_take_pixel(const exn_units_kind_s8 *kind, const exn_units_cell *cell,
                                     const int8_t *x, int32_t *gates)
{
    int16_t wide[EXN_MOST_INPUTS + 1];
    uint32_t i;
    for (i = 0; i < cell->inputs; i++) {
        wide[i] = x[i];
    }
    wide[i] = 0;
    exn_units_take(kind, cell, wide, gates);
}

EXN_INLINE void exn_units_take_state(const exn_units_kind_s8 *kind, const exn_units_cell *cell,
                                     const int16_t *x, int32_t *gates)
{
    int16_t filled[EXN_STATES + 1];
    if (cell->inputs % EXN_TOGETHER != 0) {
        memcpy(filled, x, cell->inputs * sizeof *x);
        filled[cell->inputs] = 0;
        x = filled;
    }
    exn_units_take(kind, cell, x, gates);
}

/* Units from `unit` on of a state. */
EXN_INLINE exn_across exn_units_read(const int16_t *state, uint32_t unit, uint32_t hidden)
{
    int16_t last[EXN_ACROSS] = {0};
    if (unit + EXN_ACROSS <= hidden) {
        return exn_across_widen(state + unit);
    }
    memcpy(last, state + unit, (hidden - unit) * sizeof *state);
    return exn_across_widen(last);
}

EXN_INLINE void exn_units_write(int16_t *state, uint32_t unit, uint32_t hidden, exn_across x)
{
    int16_t last[EXN_ACROSS];
    if (unit + EXN_ACROSS <= hidden) {
        exn_across_narrow(state + unit, x);
        return;
    }
    exn_across_narrow(last, x);
    memcpy(state + unit, last, (hidden - unit) * sizeof *state);
}
#endif

#endif
