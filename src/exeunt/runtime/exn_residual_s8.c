/* Expand, filter, project, and perhaps add: an inverted residual in one pass over a row.
 *
 * Of a window of k rows the last s, the stride, are fresh at every output row; the d = k - s before
 * them were kept when they were. Nothing is expanded twice, and a fresh row needs no place of its
 * own: its pixels wait until the oldest kept row has been filtered there, and take its place.
 *
 * Kept: d rows, d waiting pixels of each fresh row, and one filtered pixel. With stride 1 the last
 * two are k places in turn: the fresh pixel goes where the filtered one was, and the filtered one
 * goes where the oldest waited.
 *
 * So it goes where a row finds nothing free in the arena; where it does, `exn_roomy_s8.c` has it.
 */
#include "exn_residual_s8.h"

#include <string.h>

static int8_t *waits(const exn_pass *p, int32_t row, int32_t column)
{
    return p->waiting + (uint32_t)(row * p->held + column % p->places) * p->hidden;
}

/* Some channels of a fresh pixel. */
static void expand(const exn_pass *p, int32_t row, int32_t column, uint32_t first, uint32_t n,
                   int8_t *out)
{
    const int8_t *pixel = p->fresh[row] + (uint32_t)column * p->in->channels;
    exn_mix_s8(p->spec->expand, pixel, p->in->channels, first, n, out);
}

/* Expands the columns that the first window finds waiting. */
static void begin(const exn_pass *p)
{
    int32_t row, column;
    for (row = 0; row < p->rows; row++) {
        for (column = 0; column < p->held - p->left; column++) {
            if (p->fresh[row] != NULL && column < p->width) {
                expand(p, row, column, 0, p->hidden, waits(p, row, column));
            }
        }
    }
}

static int is_inside(const exn_pass *p, int32_t x)
{
    return x >= 0 && x < p->width;
}

/* Some channels of the fresh pixels of a window that no window before had. */
typedef int8_t fresh_block[EXN_MAX_STRIDE][EXN_MAX_STRIDE][EXN_OUTPUTS];

/* Filters some channels of the window that begins at `column`; `block` holds what is fresh, unless
 * that waits already. */
EXN_APART static void filter(const exn_pass *p, int32_t column, uint32_t first, uint32_t n,
                             fresh_block *block, int8_t *out, int8_t *old)
{
    const int8_t *taps[EXN_MAX_TAPS], *blank = p->spec->depthwise.blank;
    const int8_t **tap = taps;
    int32_t waiting = block == NULL ? p->size : p->held, row, j;
    for (row = 0; row < p->held; row++) {
        const int8_t *line = p->kept[row] == NULL ? NULL : p->kept[row] + first;
        tap = exn_line_taps(tap, line, column, p->size, p->width, p->hidden, blank);
    }
    for (row = 0; row < p->rows; row++) {
        int inside = p->fresh[row] != NULL;
        for (j = 0; j < waiting; j++) {
            *tap++ = inside && is_inside(p, column + j) ? waits(p, row, column + j) + first : blank;
        }
        for (; j < p->size; j++) {
            *tap++ = inside && is_inside(p, column + j) ? (*block)[row][j - p->held] : blank;
        }
    }
    exn_filter_s8(&p->spec->depthwise, taps, first, n, out, old);
}

/* Filters the window that begins at `column`, stride 1; gives the filtered pixel. */
static const int8_t *filter_next(const exn_pass *p, int32_t column)
{
    int8_t *out = waits(p, 0, column + p->size), *old = NULL;
    int32_t x = column + p->held;
    if (p->fresh[0] != NULL && x < p->width) {
        expand(p, 0, x, 0, p->hidden, waits(p, 0, x));
    }
    if (p->into[0] != NULL && is_inside(p, column)) {
        old = p->into[0] + (uint32_t)column * p->hidden;
    }
    filter(p, column, 0, p->hidden, NULL, out, old);
    return out;
}

/* Expands and filters one block of channels of the window that begins at `column`, then moves on. */
EXN_APART static void filter_block(const exn_pass *p, int32_t column, uint32_t first, uint32_t n,
                                   int8_t *out)
{
    fresh_block block;
    int32_t row, j;
    for (row = 0; row < p->rows; row++) {
        for (j = p->held; j < p->size; j++) {
            if (p->fresh[row] != NULL && is_inside(p, column + j)) {
                expand(p, row, column + j, first, n, block[row][j - p->held]);
            }
        }
    }
    filter(p, column, first, n, &block, out, NULL);
    for (row = 0; row < p->rows; row++) {
        for (j = 0; j < p->size; j++) {
            int32_t x = column + j;
            const int8_t *from;
            if (p->fresh[row] == NULL || !is_inside(p, x)) {
                continue;
            }
            from = j < p->held ? waits(p, row, x) + first : block[row][j - p->held];
            if (j < p->stride) { /* the next window begins behind it */
                if (p->into[row] != NULL) {
                    memcpy(p->into[row] + (uint32_t)x * p->hidden + first, from, n);
                }
            } else if (j >= p->held) {
                memcpy(waits(p, row, x) + first, from, n);
            }
        }
    }
}

/* The same with a stride, block by block. */
static const int8_t *filter_blocks(const exn_pass *p, int32_t column)
{
    int8_t *out = p->waiting + (uint32_t)(p->rows * p->held) * p->hidden;
    uint32_t first;
    for (first = 0; first < p->hidden; first += EXN_OUTPUTS) {
        uint32_t n = p->hidden - first < EXN_OUTPUTS ? p->hidden - first : EXN_OUTPUTS;
        filter_block(p, column, first, n, out + first);
    }
    return out;
}

/* Puts away the columns that still wait when the row is done. */
static void end(const exn_pass *p, int32_t column)
{
    int32_t row, j;
    for (row = 0; row < p->rows; row++) {
        for (j = 0; j < p->held; j++) {
            int32_t x = column + j;
            if (p->into[row] != NULL && is_inside(p, x)) {
                memcpy(p->into[row] + (uint32_t)x * p->hidden, waits(p, row, x), p->hidden);
            }
        }
    }
}

/* Finds the rows of the window for output row `row`; the first time, fills the kept ones. */
static void prepare(exn_pass *p, const exn_model *model, const exn_node *node, uint8_t *arena,
                    uint32_t row)
{
    const exn_window *window = &((const exn_residual_s8 *)node->spec)->depthwise.window;
    const exn_part *part = exn_parts_of(node, 0);
    int8_t *ring = (int8_t *)arena + node->kept;
    int32_t top = (int32_t)row * window->stride_y - window->top;
    int32_t k;
    p->spec = node->spec;
    p->hidden = p->spec->hidden;
    p->in = &model->rings[part->ring];
    p->size = window->height;
    p->stride = window->stride_y;
    p->held = p->size > p->stride ? p->size - p->stride : 0;
    p->rows = p->size - p->held;
    p->places = p->stride == 1 ? p->size : p->held;
    p->left = window->left;
    p->width = p->in->width;
    p->waiting = ring + (uint32_t)(p->held * p->width) * p->hidden;
    for (k = 0; k < p->size; k++) {
        int32_t y = top + k, young = k - p->held;
        int inside = y >= 0 && y < p->in->height;
        int8_t *place = NULL;
        if (inside && p->held > 0) {
            place = ring + (uint32_t)(y % p->held * p->width) * p->hidden;
        }
        if (young < 0) {
            p->kept[k] = place;
        } else {
            p->fresh[young] = inside ? (int8_t *)exn_place(p->in, arena, (uint32_t)y) : NULL;
            p->into[young] = y >= top + p->stride ? place : NULL;
        }
        if (young < 0 && inside && row == 0) {
            const int8_t *pixel = (int8_t *)exn_place(p->in, arena, (uint32_t)y);
            int32_t x;
            for (x = 0; x < p->width; x++, pixel += p->in->channels, place += p->hidden) {
                exn_mix_s8(p->spec->expand, pixel, p->in->channels, 0, p->hidden, place);
            }
        }
    }
}

/* Projects one filtered pixel, and adds the input's. */
static void project(const exn_residual_s8 *spec, const int8_t *filtered, const int8_t *input,
                    int8_t *out, uint32_t channels)
{
    uint32_t first;
    if (spec->sum == NULL) {
        exn_mix_s8(&spec->project, filtered, spec->hidden, 0, channels, out);
        return;
    }
    for (first = 0; first < channels; first += EXN_OUTPUTS) {
        uint32_t n = channels - first < EXN_OUTPUTS ? channels - first : EXN_OUTPUTS;
        int8_t values[EXN_OUTPUTS];
        exn_mix_s8(&spec->project, filtered, spec->hidden, first, n, values);
        exn_sum(spec->sum, input + first, values, n, out + first);
    }
}

/* A block that expands. */
static void expanded_row(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row, const int8_t *input, int8_t *out)
{
    const exn_residual_s8 *spec = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int32_t column = -(int32_t)spec->depthwise.window.left;
    int8_t *room = exn_room_of(&spec->room, arena, row);
    uint32_t x;
    exn_pass p;
    prepare(&p, model, node, arena, row);
    if (room != NULL) {
        exn_roomy_row_s8(&p, ring, room, input, out);
        return;
    }
    begin(&p);
    for (x = 0; x < ring->width; x++, out += ring->channels, column += p.stride) {
        const int8_t *filtered = p.stride == 1 ? filter_next(&p, column) : filter_blocks(&p, column);
        project(spec, filtered, input == NULL ? NULL : input + x * p.in->channels, out,
                ring->channels);
    }
    end(&p, column);
}

/* A block that filters its input as it is. */
static void plain_row(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                      const int8_t *input, int8_t *out)
{
    const exn_residual_s8 *spec = node->spec;
    const exn_window *window = &spec->depthwise.window;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *filtered = (int8_t *)exn_scratch(node, arena, row);
    const int8_t *lines[EXN_MAX_SIZE], *taps[EXN_MAX_TAPS];
    int32_t column = -(int32_t)window->left;
    int8_t *room = exn_room_of(&spec->room, arena, row);
    uint32_t x;
    exn_lines_s8(in, arena, window, row, 0, lines);
    if (room != NULL) {
        exn_roomy_plain_s8(spec, in, ring, lines, room, input, out);
        return;
    }
    for (x = 0; x < ring->width; x++, out += ring->channels, column += window->stride_x) {
        exn_taps_s8(&spec->depthwise, lines, column, in->width, in->channels, taps);
        exn_filter_s8(&spec->depthwise, taps, 0, spec->hidden, filtered, NULL);
        project(spec, filtered, input == NULL ? NULL : input + x * in->channels, out,
                ring->channels);
    }
}

/* What a block that keeps nothing goes through, some of its channels at a time. */
typedef struct again {
    const exn_residual_s8 *spec;
    const exn_ring *in;
    const int8_t *lines[EXN_MAX_SIZE];  /* input rows under the window, NULL outside the map */
    int8_t *pixels;                 /* expanded: row, column modulo span, channel */
    int32_t size, span, next;       /* of the window; of it on the map; column to expand next */
    uint32_t first, count;          /* channels */
} again;

static int8_t *expanded(const again *p, int32_t row, int32_t column)
{
    return p->pixels + (uint32_t)(row * p->span + column % p->span) * p->spec->again;
}

/* Expands the columns of the window that begins at `column` which none before had, and filters. */
static void filter_again(again *p, int32_t column, int8_t *out)
{
    const int8_t *taps[EXN_MAX_TAPS];
    const int8_t **tap = taps;
    int32_t k, x;
    for (; p->next < column + p->size && p->next < p->in->width; p->next++) {
        for (k = 0; k < p->size; k++) {
            if (p->lines[k] != NULL) {
                const int8_t *pixel = p->lines[k] + (uint32_t)p->next * p->in->channels;
                exn_mix_s8(p->spec->expand, pixel, p->in->channels, p->first, p->count,
                           expanded(p, k, p->next));
            }
        }
    }
    for (k = 0; k < p->size; k++) {
        for (x = column; x < column + p->size; x++) {
            int inside = p->lines[k] != NULL && x >= 0 && x < p->in->width;
            *tap++ = inside ? expanded(p, k, x) : p->spec->depthwise.blank;
        }
    }
    exn_filter_s8(&p->spec->depthwise, taps, p->first, p->count, out, NULL);
}

/* A block that keeps nothing: for every output row all rows under the window are expanded.
 *
 * Scratch: some channels of the pixels of a window, and one filtered pixel if those are all
 * channels, or else a filtered row. */
static void again_row(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                      const int8_t *input, int8_t *out)
{
    const exn_residual_s8 *spec = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    uint32_t pitch = spec->again < spec->hidden ? spec->hidden : 0, x;
    int8_t *filtered;
    again p;
    p.spec = spec;
    p.in = exn_input_ring(model, node, 0);
    p.pixels = (int8_t *)exn_scratch(node, arena, row);
    p.size = spec->depthwise.window.height;
    p.span = exn_smaller(p.size, p.in->width);
    filtered = p.pixels + (uint32_t)(p.size * p.span) * spec->again;
    exn_lines_s8(p.in, arena, &spec->depthwise.window, row, 0, p.lines);
    for (p.first = 0; p.first < spec->hidden; p.first += spec->again) {
        int32_t column = -(int32_t)spec->depthwise.window.left;
        p.count = spec->hidden - p.first < spec->again ? spec->hidden - p.first : spec->again;
        p.next = 0;
        for (x = 0; x < ring->width; x++, column += spec->depthwise.window.stride_x) {
            filter_again(&p, column, filtered + x * pitch + p.first);
            if (p.first + p.count == spec->hidden) {
                project(spec, filtered + x * pitch, input == NULL ? NULL : input + x * p.in->channels,
                        out + x * ring->channels, ring->channels);
            }
        }
    }
}

void exn_residual_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                          uint32_t row)
{
    const exn_residual_s8 *spec = node->spec;
    int8_t *out = (int8_t *)exn_output_row(model, node, arena, row);
    const int8_t *input = NULL;
    if (spec->sum != NULL) {
        const exn_window *window = &spec->depthwise.window;
        input = (const int8_t *)exn_input_row(model, node, 0, arena, row);
        input += (window->width / 2 - window->left) * exn_input_ring(model, node, 0)->channels;
    }
    (spec->again            ? again_row
     : spec->expand != NULL ? expanded_row
                            : plain_row)(model, node, arena, row, input, out);
}
