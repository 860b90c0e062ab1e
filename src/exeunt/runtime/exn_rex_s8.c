/* ReX, one row of its input at a time.
 *
 * States are 16 bits, 32768 being 1. What a cell makes of an input is found once, and read by all
 * sweeps that meet there. A line is a row or a column that
 * some patch reads, padding included. The first cell runs along every line: for columns one state
 * per line waits from row to row, for rows one per patch that is under way. What a row's sweep
 * ends with is kept for as many lines as a patch has.
 */
#include "exn_cells_s8.h"
#include "exn_units_s8.h"

#include <string.h>

enum { MAX_GATES = 3 * EXN_STATES };

typedef struct places {
    int16_t *columns;    /* patch under way, line, state */
    int16_t *rows;       /* patch under way, state */
    int16_t *summaries;  /* line of a patch, patch, unit */
} places;

static places find(const exn_rex_s8 *rex, const exn_node *node, uint8_t *arena)
{
    const exn_patches *down = &rex->down, *across = &rex->across;
    uint32_t state = rex->first.state;
    places found;
    found.columns = (int16_t *)(void *)(arena + node->kept);
    found.rows = found.columns + (uint32_t)down->under_way * across->lines * state;
    found.summaries = found.rows + across->under_way * state;
    return found;
}

static int16_t *column_of(const exn_rex_s8 *rex, const places *p, uint32_t patch, uint32_t line)
{
    return p->columns +
           (patch % rex->down.under_way * rex->across.lines + line) * rex->first.state;
}

static int16_t *summary_of(const exn_rex_s8 *rex, const places *p, uint32_t line, uint32_t patch)
{
    return p->summaries +
           (line % rex->down.size * rex->across.count + patch) * rex->first.hidden;
}

/* The summaries of a patch along one axis: `count` of them, `step` apart, that go round. */
typedef struct run {
    const int16_t *states;
    uint32_t step, begin, count;
} run;

static const int16_t *summary(const run *r, uint32_t t)
{
    return r->states + (r->begin + t) % r->count * r->step;
}

/* A cell, and how it lies in vectors where there are some. */
typedef struct running {
    const exn_cell_kind_s8 *kind;
    const exn_cell_s8 *cell;
#ifdef EXN_UNITS
    const exn_units_kind_s8 *units;  /* or NULL */
    exn_units_cell laid_out;
#endif
} running;

static void lay_out(running *of, const exn_rex_s8 *rex, const exn_cell_s8 *cell, int states)
{
    of->kind = rex->kind;
    of->cell = cell;
#ifdef EXN_UNITS
    of->units = cell->inputs <= EXN_MOST_INPUTS ? rex->kind->units : NULL;
    if (of->units != NULL) {
        exn_units_lay_out(&of->laid_out, cell, of->units->gates, states);
    }
#else
    (void)states;
#endif
}

EXN_INLINE void take(const running *of, const int8_t *pixel, int32_t *gates)
{
#ifdef EXN_UNITS
    if (of->units != NULL) {
        exn_units_take_pixel(of->units, &of->laid_out, pixel, gates);
        return;
    }
#endif
    of->kind->take_pixel(of->cell, pixel, gates);
}

EXN_INLINE void take_state(const running *of, const int16_t *state, int32_t *gates)
{
#ifdef EXN_UNITS
    if (of->units != NULL) {
        exn_units_take_state(of->units, &of->laid_out, state, gates);
        return;
    }
#endif
    of->kind->take_state(of->cell, state, gates);
}

EXN_INLINE void step(const running *of, const int32_t *gates, int16_t *state)
{
#ifdef EXN_UNITS
    if (of->units != NULL) {
        of->units->step(&of->laid_out, gates, state);
        return;
    }
#endif
    of->kind->step(of->cell, gates, state);
}

/* Takes in one pixel of a row, or a place beside the map. */
static void take_pixel(const exn_rex_s8 *rex, const running *first, const places *p, uint32_t line,
                       uint32_t column, const int8_t *pixel)
{
    const exn_cell_s8 *cell = &rex->first;
    const exn_patches *down = &rex->down, *across = &rex->across;
    uint32_t size = cell->state * sizeof(int16_t);
    int32_t gates[MAX_GATES];
    uint32_t patch, end;
    take(first, pixel, gates);
    end = exn_last_patch(across, column);
    for (patch = exn_first_patch(across, column); patch < end; patch++) {
        int16_t *state = p->rows + patch % across->under_way * cell->state;
        if (column == patch * across->hop) {
            memset(state, 0, size);
        }
        step(first, gates, state);
        if (column + 1 == patch * across->hop + across->size) {
            memcpy(summary_of(rex, p, line, patch), state, cell->hidden * sizeof *state);
        }
    }
    end = exn_last_patch(down, line);
    for (patch = exn_first_patch(down, line); patch < end; patch++) {
        int16_t *state = column_of(rex, p, patch, column);
        if (line == patch * down->hop) {
            memset(state, 0, size);
        }
        step(first, gates, state);
    }
}

/* Takes in a line; `row` is NULL above and below the map. */
static void take_line(const exn_rex_s8 *rex, const running *first, const places *p, uint32_t line,
                      const int8_t *row, uint32_t width)
{
    const exn_patches *across = &rex->across;
    uint32_t column;
    for (column = 0; column < across->lines; column++) {
        const int8_t *pixel = rex->blank;
        int32_t x = exn_index_of(across, column);
        if (row != NULL && x >= 0 && x < (int32_t)width) {
            pixel = row + (uint32_t)x * rex->first.inputs;
        }
        take_pixel(rex, first, p, line, column, pixel);
    }
}

void exn_rex_s8_take(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_rex_s8 *rex = node->spec;
    const exn_ring *in = exn_input_ring(model, node, 0);
    places p = find(rex, node, arena);
    uint32_t line;
    running first;
    lay_out(&first, rex, &rex->first, 0);
    for (line = 0; row == 0 && line < rex->down.lead; line++) {
        take_line(rex, &first, &p, line, NULL, in->width);
    }
    line = exn_line_of(&rex->down, row);
    if (line < rex->down.lines) {
        const int8_t *from = (const int8_t *)exn_place(in, arena, row);
        take_line(rex, &first, &p, line, from, in->width);
    }
}

/* Runs the second cell over a patch's summaries, both ways; `row` is that of the first output. */
static int8_t *both_ways(const exn_rex_s8 *rex, const running second[2], const run *r,
                         const exn_row *row, int8_t *out)
{
    uint32_t way, t, i;
    for (way = 0; way < 2; way++) {
        int32_t gates[MAX_GATES];
        EXN_WORDS int16_t state[EXN_STATES];
        memset(state, 0, sizeof state);
        for (t = 0; t < r->count; t++) {
            take_state(&second[way], summary(r, way ? r->count - 1 - t : t), gates);
            step(&second[way], gates, state);
        }
        for (i = 0; i < rex->second[way].hidden; i++) {
            *out++ = (int8_t)exn_int8(exn_scale_next(&row, state[i], rex->zero));
        }
    }
    return out;
}

/* Three outputs' sums over summaries. */
static const int16_t *sum_up(int32_t sums[3], const int16_t *weights, const run *r, uint32_t hidden)
{
    EXN_WORDS int16_t copy[EXN_STATES];
    uint32_t filled = exn_filled_size(hidden), left = r->count;
    const int16_t *at = summary(r, 0), *end = r->states + r->count * r->step;
    for (; left > 0; left--) {
        weights = exn_dot_3_s16(sums, weights, exn_filled_up(at, hidden, copy), filled);
        at += r->step;
        at = at == end ? r->states : at;
    }
    return weights;
}

/* The linear map of all summaries of a patch. */
static int8_t *global(const exn_rex_s8 *rex, const run *rows, const run *columns, int8_t *out)
{
    const int16_t *weights = rex->linear_weights;
    const exn_row *row = rex->linear_rows;
    uint32_t o, k;
    for (o = 0; o < rex->globals; o += 3) {
        int32_t sums[3] = {0};
        weights = sum_up(sums, weights, rows, rex->first.hidden);
        weights = sum_up(sums, weights, columns, rex->first.hidden);
        for (k = 0; k < 3 && o + k < rex->globals; k++) {
            *out++ = (int8_t)exn_int8(exn_scale_next(&row, sums[k], rex->zero));
        }
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
    uint32_t hidden = rex->first.hidden, apart = rex->first.state;
    uint32_t patch = row < down->count ? row : down->count - 1u;
    uint32_t begin = patch * down->hop, seen = exn_line_of(down, in->height - 1u) + 1u;
    uint32_t line, q, way;
    running first, second[2];
    for (way = 0; way < 2 && rex->second != NULL; way++) {
        lay_out(&second[way], rex, &rex->second[way], 1);
    }
    if (patch == row) { /* lines below the map, as far as no patch before has taken them */
        line = patch == 0 ? 0 : begin - down->hop + down->size;
        line = line > seen ? line : seen;
        if (line < begin + down->size) {
            lay_out(&first, rex, &rex->first, 0);
        }
        for (; line < begin + down->size; line++) {
            take_line(rex, &first, &p, line, NULL, in->width);
        }
    }
    for (q = 0; q < ring->width; q++) {
        uint32_t column = q < across->count ? q : across->count - 1u;
        run rows = {summary_of(rex, &p, 0, column), across->count * hidden, begin, down->size};
        run columns = {column_of(rex, &p, patch, column * across->hop), apart, 0, across->size};
        if (rex->use_rows) {
            out = both_ways(rex, second, &rows, rex->row_rows, out);
        }
        if (rex->globals) {
            out = global(rex, &rows, &columns, out);
        }
        if (rex->use_columns) {
            out = both_ways(rex, second, &columns, rex->column_rows, out);
        }
    }
}
