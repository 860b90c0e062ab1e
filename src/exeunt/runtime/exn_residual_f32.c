/* Expand, filter, project, and perhaps add: an inverted residual in one pass over a row.
 *
 * Of a window of k rows the last s, the stride, are fresh at every output row; the d = k - s before
 * them were kept when they were. Nothing is expanded twice, and a fresh row needs no place of its
 * own: its pixels wait until the oldest kept row has been filtered there, and take its place.
 *
 * Kept: d rows, d waiting pixels of each fresh row, and one filtered pixel.
 */
#include "exn_filter_f32.h"

#include <string.h>

enum { MAX_SIZE = 7, MAX_STRIDE = 2 };

typedef struct pass {
    const exn_residual_f32 *spec;
    const exn_ring *in;
    const float *fresh[MAX_STRIDE];  /* input rows, NULL outside the map */
    float *kept[MAX_SIZE];           /* expanded rows, oldest first, NULL outside the map */
    float *into[MAX_STRIDE];         /* where a fresh row goes, NULL if no later row reads it */
    float *waiting;                  /* fresh row, column modulo d, channel */
    int32_t size, stride, held, rows, left, width;
    uint32_t hidden;
} pass;

/* Some outputs of a 1x1 convolution of one pixel. */
static void mix(const exn_conv_f32 *conv, uint32_t outputs, const float *pixel, uint32_t channels,
                uint32_t first, uint32_t lanes, float *out)
{
    float sums[EXN_LANES];
    exn_copy(sums, conv->biases + first, lanes);
    exn_add_products(sums, lanes, conv->weights + first, outputs, pixel, channels);
    exn_copy_limited(out, sums, lanes, conv->low, conv->high);
    exn_apply(conv->function, out, lanes);
}

static void expand(const pass *p, const float *pixel, uint32_t first, uint32_t lanes, float *out)
{
    mix(p->spec->expand, p->hidden, pixel, p->in->channels, first, lanes, out);
}

static void expand_all(const pass *p, const float *pixel, float *out)
{
    uint32_t first;
    for (first = 0; first < p->hidden; first += EXN_LANES) {
        expand(p, pixel, first, exn_lanes_left(first, p->hidden), out + first);
    }
}

static float *waits(const pass *p, int32_t row, int32_t column)
{
    return p->waiting + (uint32_t)(row * p->held + column % p->held) * p->hidden;
}

/* Expands the columns that the first window finds waiting. */
static void begin(const pass *p)
{
    int32_t row, column;
    for (row = 0; row < p->rows; row++) {
        for (column = 0; column < p->held - p->left; column++) {
            if (p->fresh[row] != NULL && column < p->width) {
                expand_all(p, p->fresh[row] + column * p->in->channels, waits(p, row, column));
            }
        }
    }
}

/* Filters one block of channels of the window that begins at `column`, then moves on. */
static void filter(const pass *p, int32_t column, uint32_t first, uint32_t lanes, float *out)
{
    float fresh[MAX_STRIDE][MAX_STRIDE][EXN_LANES];
    const float *taps[EXN_MAX_TAPS];
    const float **tap = taps;
    size_t bytes = lanes * sizeof(float);
    int32_t row, j;
    for (row = 0; row < p->size; row++) {
        int32_t young = row - p->held;
        for (j = 0; j < p->size; j++, tap++) {
            int32_t x = column + j;
            *tap = NULL;
            if (x < 0 || x >= p->width) {
                continue;
            }
            if (young < 0) {
                if (p->kept[row] != NULL) {
                    *tap = p->kept[row] + (uint32_t)x * p->hidden + first;
                }
            } else if (p->fresh[young] != NULL) {
                if (j < p->held) {
                    *tap = waits(p, young, x) + first;
                } else {
                    float *place = fresh[young][j - p->held];
                    expand(p, p->fresh[young] + x * p->in->channels, first, lanes, place);
                    *tap = place;
                }
            }
        }
    }
    exn_filter_f32(&p->spec->depthwise, taps, first, lanes, p->hidden, out);
    for (row = 0; row < p->rows; row++) {
        tap = taps + (p->held + row) * p->size;
        for (j = 0; j < p->size; j++) {
            int32_t x = column + j;
            if (tap[j] == NULL) {
                continue;
            }
            if (j < p->stride) { /* the next window begins behind it */
                if (p->into[row] != NULL) {
                    memcpy(p->into[row] + (uint32_t)x * p->hidden + first, tap[j], bytes);
                }
            } else if (j >= p->held) {
                memcpy(waits(p, row, x) + first, tap[j], bytes);
            }
        }
    }
}

/* Puts away the columns that still wait when the row is done. */
static void end(const pass *p, int32_t column)
{
    int32_t row, j;
    for (row = 0; row < p->rows; row++) {
        for (j = 0; j < p->held; j++) {
            int32_t x = column + j;
            if (p->into[row] != NULL && x >= 0 && x < p->width) {
                memcpy(p->into[row] + (uint32_t)x * p->hidden, waits(p, row, x),
                       p->hidden * sizeof(float));
            }
        }
    }
}

/* Finds the rows of the window for output row `row`; the first time, fills the kept ones. */
static void prepare(pass *p, const exn_model *model, const exn_node *node, uint8_t *arena,
                    uint32_t row)
{
    const exn_window *window = &((const exn_residual_f32 *)node->spec)->depthwise.window;
    float *ring = (float *)(void *)(arena + node->kept);
    int32_t top = (int32_t)row * window->stride_y - window->top;
    int32_t k;
    p->spec = node->spec;
    p->hidden = p->spec->hidden;
    p->in = exn_input_ring(model, node, 0);
    p->size = window->height;
    p->stride = window->stride_y;
    p->held = p->size > p->stride ? p->size - p->stride : 0;
    p->rows = p->size - p->held;
    p->left = window->left;
    p->width = p->in->width;
    p->waiting = ring + (uint32_t)(p->held * p->width) * p->hidden;
    for (k = 0; k < p->size; k++) {
        int32_t y = top + k, young = k - p->held;
        const float *pixel = (const void *)exn_place_within(p->in, arena, y);
        float *place = NULL;
        if (pixel != NULL && p->held > 0) {
            place = ring + (uint32_t)(y % p->held * p->width) * p->hidden;
        }
        if (young < 0) {
            p->kept[k] = place;
        } else {
            p->fresh[young] = pixel;
            p->into[young] = y >= top + p->stride ? place : NULL;
        }
        if (young < 0 && pixel != NULL && row == 0) {
            int32_t x;
            for (x = 0; x < p->width; x++, pixel += p->in->channels, place += p->hidden) {
                expand_all(p, pixel, place);
            }
        }
    }
}

/* Projects one filtered pixel, and adds the input's. */
static void project(const exn_residual_f32 *spec, const float *filtered, const float *input,
                    float *out, uint32_t channels)
{
    uint32_t first, i;
    for (first = 0; first < channels; first += EXN_LANES) {
        uint32_t lanes = exn_lanes_left(first, channels);
        float mixed[EXN_LANES];
        mix(&spec->project, channels, filtered, spec->hidden, first, lanes, mixed);
        for (i = 0; i < lanes; i++) {
            out[first + i] = input == NULL ? mixed[i] : input[first + i] + mixed[i];
        }
    }
}

/* A block that expands. */
static void expanded_row(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row, const float *input, float *out)
{
    const exn_residual_f32 *spec = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int32_t column = -(int32_t)spec->depthwise.window.left;
    float *filtered;
    uint32_t x;
    pass p;
    prepare(&p, model, node, arena, row);
    begin(&p);
    filtered = p.waiting + (uint32_t)(p.rows * p.held) * p.hidden;
    for (x = 0; x < ring->width; x++, out += ring->channels, column += p.stride) {
        uint32_t first;
        for (first = 0; first < p.hidden; first += EXN_LANES) {
            filter(&p, column, first, exn_lanes_left(first, p.hidden), filtered + first);
        }
        project(spec, filtered, input == NULL ? NULL : input + x * p.in->channels, out,
                ring->channels);
    }
    end(&p, column);
}

/* A block that filters its input as it is. */
static void plain_row(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                      const float *input, float *out)
{
    const exn_residual_f32 *spec = node->spec;
    const exn_window *window = &spec->depthwise.window;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const exn_ring *ring = exn_output_ring(model, node);
    float *filtered = (float *)(void *)exn_scratch(node, arena, row);
    const float *lines[MAX_SIZE];
    int32_t column = -(int32_t)window->left;
    uint32_t x;
    exn_lines_f32(in, arena, window, row, 0, lines);
    for (x = 0; x < ring->width; x++, out += ring->channels, column += window->stride_x) {
        exn_filter_pixel_f32(&spec->depthwise, lines, column, in->width, in->channels,
                             spec->hidden, filtered);
        project(spec, filtered, input == NULL ? NULL : input + x * in->channels, out,
                ring->channels);
    }
}

/* What a block that keeps nothing goes through, some of its channels at a time. */
typedef struct again {
    pass p;
    const float *lines[MAX_SIZE];  /* input rows under the window, NULL outside the map */
    float *pixels;                 /* expanded: row, column modulo span, channel */
    int32_t size, span, next;      /* of the window; of it on the map; column to expand next */
    uint32_t first, count;         /* channels */
} again;

static float *expanded(const again *a, int32_t row, int32_t column)
{
    return a->pixels + (uint32_t)(row * a->span + column % a->span) * a->p.spec->again;
}

/* Expands the columns of the window that begins at `column` which none before had, and filters. */
static void filter_again(again *a, int32_t column, float *out)
{
    const float *taps[EXN_MAX_TAPS];
    const exn_ring *in = a->p.in;
    uint32_t end = a->first + a->count, first;
    int32_t k, x;
    for (; a->next < column + a->size && a->next < in->width; a->next++) {
        for (k = 0; k < a->size; k++) {
            for (first = a->first; a->lines[k] != NULL && first < end; first += EXN_LANES) {
                expand(&a->p, a->lines[k] + (uint32_t)a->next * in->channels, first,
                       exn_lanes_left(first, end), expanded(a, k, a->next) + first - a->first);
            }
        }
    }
    for (first = a->first; first < end; first += EXN_LANES) {
        const float **tap = taps;
        for (k = 0; k < a->size; k++) {
            for (x = column; x < column + a->size; x++) {
                int inside = a->lines[k] != NULL && x >= 0 && x < in->width;
                *tap++ = inside ? expanded(a, k, x) + first - a->first : NULL;
            }
        }
        exn_filter_f32(&a->p.spec->depthwise, taps, first, exn_lanes_left(first, end), a->p.hidden,
                       out + first - a->first);
    }
}

/* A block that keeps nothing: for every output row all rows under the window are expanded.
 *
 * Scratch: some channels of the pixels of a window, and one filtered pixel if those are all
 * channels, or else a filtered row. */
static void again_row(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                      const float *input, float *out)
{
    const exn_residual_f32 *spec = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    uint32_t pitch = spec->again < spec->hidden ? spec->hidden : 0, x;
    float *filtered;
    again a;
    a.p.spec = spec;
    a.p.hidden = spec->hidden;
    a.p.in = exn_input_ring(model, node, 0);
    a.pixels = (float *)(void *)exn_scratch(node, arena, row);
    a.size = spec->depthwise.window.height;
    a.span = exn_smaller(a.size, a.p.in->width);
    filtered = a.pixels + (uint32_t)(a.size * a.span) * spec->again;
    exn_lines_f32(a.p.in, arena, &spec->depthwise.window, row, 0, a.lines);
    for (a.first = 0; a.first < spec->hidden; a.first += spec->again) {
        int32_t column = -(int32_t)spec->depthwise.window.left;
        a.count = spec->hidden - a.first < spec->again ? spec->hidden - a.first : spec->again;
        a.next = 0;
        for (x = 0; x < ring->width; x++, column += spec->depthwise.window.stride_x) {
            filter_again(&a, column, filtered + x * pitch + a.first);
            if (a.first + a.count == spec->hidden) {
                project(spec, filtered + x * pitch,
                        input == NULL ? NULL : input + x * a.p.in->channels,
                        out + x * ring->channels, ring->channels);
            }
        }
    }
}

void exn_residual_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                           uint32_t row)
{
    const exn_residual_f32 *spec = node->spec;
    float *out = exn_row_f32(exn_output_ring(model, node), arena, row);
    const float *input = NULL;
    if (spec->adds) {
        const exn_window *window = &spec->depthwise.window;
        const exn_ring *in = exn_input_ring(model, node, 0);
        input = exn_row_f32(in, arena, row);
        input += (window->width / 2 - window->left) * in->channels;
    }
    (spec->again            ? again_row
     : spec->expand != NULL ? expanded_row
                            : plain_row)(model, node, arena, row, input, out);
}
