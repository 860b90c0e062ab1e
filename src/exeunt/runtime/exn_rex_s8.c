/* ReX, one row of its input at a time.
 *
 * States are 16 bits, 32768 being 1; gates are sums of 4096ths. A line is a row or a column that
 * some patch reads, padding included. The first cell runs along every line: for columns one state
 * per line waits from row to row, for rows one per patch that is under way. What a row's sweep
 * ends with is kept for as many lines as a patch has.
 */
#include "exn_s8.h"

#include <string.h>

enum { MAX_HIDDEN = 32, MAX_GATES = 3 * MAX_HIDDEN, MAX_GATE = 65535 };

extern const int16_t exn_tanh_table[258];

/* tanh of 4096ths, in 32768ths. */
static int32_t hyperbolic(int32_t x)
{
    int32_t size = x < 0 ? -x : x;
    int32_t at, value;
    if (size > 32767) {
        size = 32767;
    }
    at = size >> 7;
    value = exn_tanh_table[at] +
            (((exn_tanh_table[at + 1] - exn_tanh_table[at]) * (size & 127) + 64) >> 7);
    return x < 0 ? -value : value;
}

static int32_t sigmoid(int32_t x)
{
    return (32768 + hyperbolic(x >> 1)) >> 1;
}

static void project_pixel(const exn_cell_s8 *cell, const int8_t *x, int32_t *gates)
{
    const int8_t *weights = cell->input_weights;
    uint32_t g, k, count = 3u * cell->hidden;
    for (g = 0; g + 4 <= count; g += 4, weights += 4 * cell->inputs) {
        int32_t sums[4];
        for (k = 0; k < 4; k++) {
            sums[k] = cell->input_biases[g + k];
        }
        exn_dot_4x1(sums, weights, cell->inputs, x, cell->inputs);
        for (k = 0; k < 4; k++) {
            gates[g + k] = exn_scale(sums[k], cell->input_factors[g + k]);
        }
    }
    for (; g < count; g++, weights += cell->inputs) {
        gates[g] = exn_scale(exn_dot(cell->input_biases[g], weights, x, cell->inputs),
                             cell->input_factors[g]);
    }
}

static void project_state(const exn_cell_s8 *cell, const int16_t *x, int32_t *gates)
{
    const int8_t *weights = cell->input_weights;
    uint32_t g, count = 3u * cell->hidden;
    for (g = 0; g < count; g++, weights += cell->inputs) {
        gates[g] = exn_scale(exn_dot_s16(cell->input_biases[g], weights, x, cell->inputs),
                             cell->input_factors[g]);
    }
}

/* One step of a GRU; gates and weights come unit by unit: reset, update, new. */
static void step(const exn_cell_s8 *cell, const int32_t *gates, int16_t *state)
{
    int16_t next[MAX_HIDDEN];
    const int16_t *weights = cell->hidden_weights;
    const int32_t *biases = cell->hidden_biases;
    const exn_factor *factors = cell->hidden_factors;
    uint32_t unit, hidden = cell->hidden;
    for (unit = 0; unit < hidden; unit++, gates += 3, biases += 3, factors += 3) {
        int32_t sums[3], reset, update, fresh;
        sums[0] = biases[0];
        sums[1] = biases[1];
        sums[2] = biases[2];
        exn_dot_3x1_s16(sums, weights, state, hidden);
        weights += 3 * hidden;
        reset = sigmoid(gates[0] + exn_scale(sums[0], factors[0]));
        update = sigmoid(gates[1] + exn_scale(sums[1], factors[1]));
        fresh = exn_clamp(exn_scale(sums[2], factors[2]), -MAX_GATE, MAX_GATE);
        fresh = hyperbolic(gates[2] + ((reset * fresh + 16384) >> 15));
        next[unit] = (int16_t)(fresh + ((update * (state[unit] - fresh) + 16384) >> 15));
    }
    memcpy(state, next, hidden * sizeof *state);
}

typedef struct places {
    int16_t *columns;    /* patch under way, line, unit */
    int16_t *rows;       /* patch under way, unit */
    int16_t *summaries;  /* line of a patch, patch, unit */
} places;

static places find(const exn_rex_s8 *rex, const exn_node *node, uint8_t *arena)
{
    const exn_patches *down = &rex->down, *across = &rex->across;
    uint32_t hidden = rex->first.hidden;
    places found;
    found.columns = (int16_t *)(void *)(arena + node->kept);
    found.rows = found.columns + (uint32_t)down->under_way * across->lines * hidden;
    found.summaries = found.rows + across->under_way * hidden;
    return found;
}

static int16_t *column_of(const exn_rex_s8 *rex, const places *p, uint32_t patch, uint32_t line)
{
    return p->columns +
           (patch % rex->down.under_way * rex->across.lines + line) * rex->first.hidden;
}

static int16_t *summary_of(const exn_rex_s8 *rex, const places *p, uint32_t line, uint32_t patch)
{
    return p->summaries +
           (line % rex->down.size * rex->across.count + patch) * rex->first.hidden;
}

/* Takes in one pixel of a row, or a place beside the map. */
static void take_pixel(const exn_rex_s8 *rex, const places *p, uint32_t line, uint32_t column,
                       const int8_t *pixel)
{
    const exn_cell_s8 *cell = &rex->first;
    const exn_patches *down = &rex->down, *across = &rex->across;
    uint32_t size = cell->hidden * sizeof(int16_t);
    int32_t gates[MAX_GATES];
    uint32_t patch, end;
    project_pixel(cell, pixel, gates);
    end = exn_last_patch(across, column);
    for (patch = exn_first_patch(across, column); patch < end; patch++) {
        int16_t *state = p->rows + patch % across->under_way * cell->hidden;
        if (column == patch * across->hop) {
            memset(state, 0, size);
        }
        step(cell, gates, state);
        if (column + 1 == patch * across->hop + across->size) {
            memcpy(summary_of(rex, p, line, patch), state, size);
        }
    }
    end = exn_last_patch(down, line);
    for (patch = exn_first_patch(down, line); patch < end; patch++) {
        int16_t *state = column_of(rex, p, patch, column);
        if (line == patch * down->hop) {
            memset(state, 0, size);
        }
        step(cell, gates, state);
    }
}

/* Takes in a line; `row` is NULL above and below the map. */
static void take_line(const exn_rex_s8 *rex, const places *p, uint32_t line, const int8_t *row,
                      uint32_t width)
{
    const exn_patches *across = &rex->across;
    uint32_t column;
    for (column = 0; column < across->lines; column++) {
        const int8_t *pixel = rex->blank;
        int32_t x = exn_index_of(across, column);
        if (row != NULL && x >= 0 && x < (int32_t)width) {
            pixel = row + (uint32_t)x * rex->first.inputs;
        }
        take_pixel(rex, p, line, column, pixel);
    }
}

void exn_rex_s8_take(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_rex_s8 *rex = node->spec;
    const exn_ring *in = exn_input_ring(model, node, 0);
    places p = find(rex, node, arena);
    uint32_t line;
    for (line = 0; row == 0 && line < rex->down.lead; line++) {
        take_line(rex, &p, line, NULL, in->width);
    }
    line = exn_line_of(&rex->down, row);
    if (line < rex->down.lines) {
        take_line(rex, &p, line, (const int8_t *)exn_place(in, arena, row), in->width);
    }
}

/* Runs the second cell over a patch's summaries, both ways. */
static int8_t *both_ways(const exn_rex_s8 *rex, const int16_t *const *summaries, uint32_t count,
                         int8_t *out)
{
    uint32_t way, t, i;
    for (way = 0; way < 2; way++) {
        const exn_cell_s8 *cell = &rex->second[way];
        int32_t gates[MAX_GATES];
        int16_t state[MAX_HIDDEN];
        memset(state, 0, sizeof state);
        for (t = 0; t < count; t++) {
            project_state(cell, summaries[way ? count - 1 - t : t], gates);
            step(cell, gates, state);
        }
        for (i = 0; i < cell->hidden; i++) {
            int32_t value = exn_scale(state[i], rex->state_factor) + rex->zero;
            *out++ = (int8_t)exn_clamp(value, INT8_MIN, INT8_MAX);
        }
    }
    return out;
}

/* The linear map of all summaries of a patch: rows, then columns. */
static int8_t *global(const exn_rex_s8 *rex, const int16_t *const *summaries, int8_t *out)
{
    uint32_t hidden = rex->first.hidden, count = rex->down.size + rex->across.size, o, t;
    const int8_t *weights = rex->linear_weights;
    for (o = 0; o < rex->globals; o++) {
        int32_t sum = rex->linear_biases[o];
        for (t = 0; t < count; t++, weights += hidden) {
            sum = exn_dot_s16(sum, weights, summaries[t], hidden);
        }
        sum = exn_scale(sum, rex->linear_factors[o]) + rex->zero;
        *out++ = (int8_t)exn_clamp(sum, INT8_MIN, INT8_MAX);
    }
    return out;
}

void exn_rex_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_rex_s8 *rex = node->spec;
    const exn_patches *down = &rex->down, *across = &rex->across;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    places p = find(rex, node, arena);
    const int16_t *summaries[2 * EXN_MAX_PATCH];
    uint32_t patch = row < down->count ? row : down->count - 1u;
    uint32_t begin = patch * down->hop, seen = exn_line_of(down, in->height - 1u) + 1u;
    uint32_t line, q, t;
    if (patch == row) { /* lines below the map, as far as no patch before has taken them */
        line = patch == 0 ? 0 : begin - down->hop + down->size;
        for (line = line > seen ? line : seen; line < begin + down->size; line++) {
            take_line(rex, &p, line, NULL, in->width);
        }
    }
    for (q = 0; q < ring->width; q++) {
        uint32_t column = q < across->count ? q : across->count - 1u;
        for (t = 0; t < down->size; t++) {
            summaries[t] = summary_of(rex, &p, begin + t, column);
        }
        for (t = 0; t < across->size; t++) {
            summaries[down->size + t] = column_of(rex, &p, patch, column * across->hop + t);
        }
        if (rex->use_rows) {
            out = both_ways(rex, summaries, down->size, out);
        }
        if (rex->globals) {
            out = global(rex, summaries, out);
        }
        if (rex->use_columns) {
            out = both_ways(rex, summaries + down->size, across->size, out);
        }
    }
}
