/* ReX, one row of its input at a time.
 *
 * A line is a row or a column that some patch reads, padding included. The first cell runs along
 * every line: for columns one state per line waits from row to row, for rows one per patch that is
 * under way. What a row's sweep ends with is kept for as many lines as a patch has.
 */
#include "exn_f32.h"

#include <string.h>

enum { MAX_GATES = 3 * EXN_MAX_HIDDEN };

typedef struct places {
    float *columns;    /* patch under way, line, state */
    float *rows;       /* patch under way, state */
    float *summaries;  /* line of a patch, patch, unit */
} places;

static places find(const exn_rex_f32 *rex, const exn_node *node, uint8_t *arena)
{
    const exn_patches *down = &rex->down, *across = &rex->across;
    uint32_t state = rex->first.state;
    places found;
    found.columns = (float *)(void *)(arena + node->kept);
    found.rows = found.columns + (uint32_t)down->under_way * across->lines * state;
    found.summaries = found.rows + across->under_way * state;
    return found;
}

static float *column_of(const exn_rex_f32 *rex, const places *p, uint32_t patch, uint32_t line)
{
    return p->columns +
           (patch % rex->down.under_way * rex->across.lines + line) * rex->first.state;
}

static float *summary_of(const exn_rex_f32 *rex, const places *p, uint32_t line, uint32_t patch)
{
    return p->summaries +
           (line % rex->down.size * rex->across.count + patch) * rex->first.hidden;
}

/* Takes in one pixel of a row, or, if it is NULL, a place beside the map. */
static void take_pixel(const exn_rex_f32 *rex, const places *p, uint32_t line, uint32_t column,
                       const float *pixel)
{
    const exn_cell_f32 *cell = &rex->first;
    const exn_patches *down = &rex->down, *across = &rex->across;
    uint32_t numbers = cell->state, patch, end, i;
    float gates[MAX_GATES];
    rex->kind->take(cell, pixel, gates);
    end = exn_last_patch(across, column);
    for (patch = exn_first_patch(across, column); patch < end; patch++) {
        float *state = p->rows + patch % across->under_way * numbers;
        for (i = 0; i < numbers && column == patch * across->hop; i++) {
            state[i] = 0.0f;
        }
        rex->kind->step(cell, gates, state);
        if (column + 1 == patch * across->hop + across->size) {
            memcpy(summary_of(rex, p, line, patch), state, cell->hidden * sizeof *state);
        }
    }
    end = exn_last_patch(down, line);
    for (patch = exn_first_patch(down, line); patch < end; patch++) {
        float *state = column_of(rex, p, patch, column);
        for (i = 0; i < numbers && line == patch * down->hop; i++) {
            state[i] = 0.0f;
        }
        rex->kind->step(cell, gates, state);
    }
}

/* Takes in a line; `row` is NULL above and below the map. */
static void take_line(const exn_rex_f32 *rex, const places *p, uint32_t line, const float *row,
                      uint32_t width)
{
    const exn_patches *across = &rex->across;
    uint32_t column;
    for (column = 0; column < across->lines; column++) {
        const float *pixel = NULL;
        int32_t x = exn_index_of(across, column);
        if (row != NULL && x >= 0 && x < (int32_t)width) {
            pixel = row + (uint32_t)x * rex->first.inputs;
        }
        take_pixel(rex, p, line, column, pixel);
    }
}

void exn_rex_f32_take(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_rex_f32 *rex = node->spec;
    const exn_ring *in = exn_input_ring(model, node, 0);
    places p = find(rex, node, arena);
    uint32_t line;
    for (line = 0; row == 0 && line < rex->down.lead; line++) {
        take_line(rex, &p, line, NULL, in->width);
    }
    line = exn_line_of(&rex->down, row);
    if (line < rex->down.lines) {
        take_line(rex, &p, line, exn_row_f32(in, arena, row), in->width);
    }
}

/* Runs the second cell over a patch's summaries, both ways. A state that has more than what is put
 * out lies behind the gates.
 */
static float *both_ways(const exn_rex_f32 *rex, const float *const *summaries, uint32_t count,
                        float *out)
{
    uint32_t way, t, i;
    for (way = 0; way < 2; way++) {
        const exn_cell_f32 *cell = &rex->second[way];
        float gates[MAX_GATES];
        float *state = cell->state == cell->hidden ? out : gates + MAX_GATES - cell->state;
        for (i = 0; i < cell->state; i++) {
            state[i] = 0.0f;
        }
        for (t = 0; t < count; t++) {
            rex->kind->take(cell, summaries[way ? count - 1 - t : t], gates);
            rex->kind->step(cell, gates, state);
        }
        for (i = 0; i < cell->hidden; i++) {
            *out++ = state[i];
        }
    }
    return out;
}

/* The linear map of all summaries of a patch: rows, then columns. */
static float *global(const exn_rex_f32 *rex, const float *const *summaries, float *out)
{
    uint32_t hidden = rex->first.hidden, count = rex->down.size + rex->across.size;
    uint32_t first, i, t;
    for (first = 0; first < rex->globals; first += EXN_LANES) {
        uint32_t lanes = exn_lanes_left(first, rex->globals);
        const float *weights = rex->linear_weights + first;
        float sums[EXN_LANES];
        for (i = 0; i < lanes; i++) {
            sums[i] = rex->linear_biases[first + i];
        }
        for (t = 0; t < count; t++, weights += hidden * rex->globals) {
            exn_add_products(sums, lanes, weights, rex->globals, summaries[t], hidden);
        }
        for (i = 0; i < lanes; i++) {
            *out++ = sums[i];
        }
    }
    return out;
}

/* Scales what a patch gave, up to `end`. */
static void scale(const exn_rex_f32 *rex, float *out, const float *end)
{
    const float *factor = rex->scales, *term = rex->shifts;
    for (; factor != NULL && out < end; out++) {
        *out = *out * *factor++ + *term++;
    }
}

void exn_rex_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_rex_f32 *rex = node->spec;
    const exn_patches *down = &rex->down, *across = &rex->across;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    places p = find(rex, node, arena);
    const float *summaries[2 * EXN_MAX_PATCH];
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
        float *first = out;
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
        scale(rex, first, out);
    }
}
