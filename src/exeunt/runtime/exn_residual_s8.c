/* Expand, filter, project, and perhaps add: an inverted residual in one pass over a row.
 *
 * Of a window of k rows the last s, the stride, are fresh at every output row; the d = k - s before
 * them were kept when they were. Nothing is expanded twice, and a fresh row needs no place of its
 * own: its pixels wait until the oldest kept row has been filtered there, and take its place.
 *
 * Kept: d rows, and d waiting pixels of each fresh row. Scratch: one filtered pixel.
 */
#include "exn_filter_s8.h"

#include <string.h>

enum { MAX_SIZE = 7, MAX_STRIDE = 2 };

typedef struct pass {
    const exn_residual_s8 *spec;
    const exn_ring *in;
    const int8_t *fresh[MAX_SIZE];  /* input rows, NULL outside the map */
    int8_t *kept[MAX_SIZE];         /* expanded rows, oldest first, NULL outside the map */
    int8_t *into[MAX_SIZE];         /* where a fresh row goes, NULL if no later row reads it */
    int8_t *waiting;                /* fresh row, column modulo d, channel */
    int32_t size, stride, held, rows, left, width;
    uint32_t hidden;
} pass;

/* Some outputs of a 1x1 convolution of one pixel. */
static void mix(const exn_conv_s8 *conv, const int8_t *pixel, uint32_t channels, uint32_t first,
                uint32_t n, int8_t *out)
{
    const int8_t *weights = conv->weights + first * channels;
    const int32_t *biases = conv->biases + first;
    uint32_t i, k;
    for (i = 0; i + 4 <= n; i += 4, weights += 4 * channels) {
        int32_t sums[4];
        for (k = 0; k < 4; k++) {
            sums[k] = biases[i + k];
        }
        exn_dot_4x1(sums, weights, channels, pixel, channels);
        for (k = 0; k < 4; k++) {
            out[i + k] = exn_quantized(sums[k], &conv->requantize, first + i + k);
        }
    }
    for (; i < n; i++, weights += channels) {
        int32_t sum = exn_dot(biases[i], weights, pixel, channels);
        out[i] = exn_quantized(sum, &conv->requantize, first + i);
    }
}

static int8_t *waits(const pass *p, int32_t row, int32_t column)
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
                mix(p->spec->expand, p->fresh[row] + column * p->in->channels,
                       p->in->channels, 0, p->hidden, waits(p, row, column));
            }
        }
    }
}

/* Filters one block of channels of the window that begins at `column`, then moves on. */
static void filter(const pass *p, int32_t column, uint32_t first, uint32_t n, int8_t *out)
{
    int8_t fresh[MAX_STRIDE][MAX_STRIDE][EXN_BLOCK];
    const int8_t *taps[EXN_MAX_TAPS];
    const int8_t **tap = taps;
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
                    mix(p->spec->expand, p->fresh[young] + x * p->in->channels,
                           p->in->channels, first, n, fresh[young][j - p->held]);
                    *tap = fresh[young][j - p->held];
                }
            }
        }
    }
    exn_filter_s8(&p->spec->depthwise, taps, first, n, p->hidden, out);
    for (row = 0; row < p->rows; row++) {
        tap = taps + (p->held + row) * p->size;
        for (j = 0; j < p->size; j++) {
            int32_t x = column + j;
            if (tap[j] == NULL) {
                continue;
            }
            if (j < p->stride) { /* the next window begins behind it */
                if (p->into[row] != NULL) {
                    memcpy(p->into[row] + (uint32_t)x * p->hidden + first, tap[j], n);
                }
            } else if (j >= p->held) {
                memcpy(waits(p, row, x) + first, tap[j], n);
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
                memcpy(p->into[row] + (uint32_t)x * p->hidden, waits(p, row, x), p->hidden);
            }
        }
    }
}

/* Finds the rows of the window for output row `row`; the first time, fills the kept ones. */
static void prepare(pass *p, const exn_model *model, const exn_node *node, uint8_t *arena,
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
                mix(p->spec->expand, pixel, p->in->channels, 0, p->hidden, place);
            }
        }
    }
}

/* Projects one filtered pixel, and adds the input's. */
static void project(const exn_residual_s8 *spec, const int8_t *filtered, const int8_t *input,
                    int8_t *out, uint32_t channels)
{
    uint32_t first, i;
    for (first = 0; first < channels; first += EXN_BLOCK) {
        uint32_t n = channels - first < EXN_BLOCK ? channels - first : EXN_BLOCK;
        int8_t values[EXN_BLOCK];
        mix(&spec->project, filtered, spec->hidden, first, n, values);
        for (i = 0; i < n; i++) {
            out[first + i] = spec->sum == NULL
                                 ? values[i]
                                 : exn_sum(spec->sum, input[first + i], values[i]);
        }
    }
}

/* A block that expands. */
static void expanded_row(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row, const int8_t *input, int8_t *out)
{
    const exn_residual_s8 *spec = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    uint32_t hidden = spec->hidden, x;
    int32_t column = -(int32_t)spec->depthwise.window.left;
    int8_t *filtered;
    pass p;
    prepare(&p, model, node, arena, row);
    begin(&p);
    filtered = (int8_t *)arena + node->scratch;
    for (x = 0; x < ring->width; x++, out += ring->channels, column += p.stride) {
        uint32_t first;
        for (first = 0; first < hidden; first += EXN_BLOCK) {
            uint32_t n = hidden - first < EXN_BLOCK ? hidden - first : EXN_BLOCK;
            filter(&p, column, first, n, filtered + first);
        }
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
    int8_t *filtered = (int8_t *)arena + node->scratch;
    const int8_t *lines[MAX_SIZE];
    int32_t column = -(int32_t)window->left;
    uint32_t x;
    exn_lines_s8(in, arena, window, row, 0, lines);
    for (x = 0; x < ring->width; x++, out += ring->channels, column += window->stride_x) {
        exn_filter_pixel_s8(&spec->depthwise, lines, column, in->width, in->channels,
                            spec->hidden, filtered);
        project(spec, filtered, input == NULL ? NULL : input + x * in->channels, out,
                ring->channels);
    }
}

void exn_residual_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                          uint32_t row)
{
    const exn_residual_s8 *spec = node->spec;
    int8_t *out = (int8_t *)exn_output_row(model, node, arena, row);
    const int8_t *input = NULL;
    if (spec->sum != NULL) {
        input = (const int8_t *)exn_input_row(model, node, 0, arena, row);
    }
    (spec->expand != NULL ? expanded_row : plain_row)(model, node, arena, row, input, out);
}
