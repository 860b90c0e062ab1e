/* An inverted residual that may use what nobody else needs of the arena: two pixels at a time.
 *
 * A fresh row is expanded into a ring of columns, all channels at once, and put away with the kept
 * ones when the windows have gone by. Room: two pixels in 16 bits, two filtered ones, two projected
 * ones where the input is added, and the ring, row after row.
 */
#include "exn_residual_s8.h"

#include <string.h>

typedef struct room {
    int16_t *wide;
    int8_t *filtered, *projected, *columns;
} room;

static room rooms_of(const exn_residual_s8 *spec, int8_t *at, uint32_t inputs, uint32_t outputs)
{
    uint32_t most = exn_fours_size(inputs > spec->hidden ? inputs : spec->hidden);
    room found;
    found.wide = (int16_t *)(void *)at;
    found.filtered = at + 4 * most;
    found.projected = found.filtered + 2 * most;
    found.columns = found.projected + (spec->sum == NULL ? 0 : 2 * exn_fours_size(outputs));
    return found;
}

/* Projects one or two filtered pixels, and adds the input's. */
static void project(const exn_residual_s8 *spec, const room *at, uint32_t count,
                    const int8_t *input, int8_t *out, uint32_t channels)
{
    int8_t *into = spec->sum == NULL ? out : at->projected;
    exn_mix_pixels_s8(&spec->project, at->filtered, count, spec->hidden, channels, into,
                      (int32_t)channels, at->wide);
    if (spec->sum != NULL) {
        exn_sum(spec->sum, input, into, count * channels, out);
    }
}

static int8_t *column_of(const exn_pass *p, const room *at, int32_t row, int32_t x)
{
    int32_t span = p->spec->room.span;
    return at->columns + (uint32_t)(row * span + x % span) * p->hidden;
}

/* Puts columns away from `x` on, which lie side by side, before others take their place. */
static void put_away(const exn_pass *p, const room *at, int32_t x, int32_t count)
{
    int32_t row;
    for (row = 0; row < p->rows; row++) {
        if (p->into[row] != NULL) {
            memcpy(p->into[row] + (uint32_t)x * p->hidden, column_of(p, at, row, x),
                   (uint32_t)count * p->hidden);
        }
    }
}

/* Expands columns from `x` on, two at a time, until those before `end` are there; gives the next. */
EXN_APART static int32_t expand(const exn_pass *p, const room *at, int32_t x, int32_t end)
{
    int32_t row, k, count, span = p->spec->room.span;
    for (; x < end; x += count) {
        count = x + 1 < p->width ? 2 : 1;
        for (k = exn_larger(x - span, 0); k < x - span + count; k++) {
            put_away(p, at, k, 1);
        }
        for (row = 0; row < p->rows; row++) {
            int8_t *out = column_of(p, at, row, x);
            if (p->fresh[row] != NULL) {
                exn_mix_pixels_s8(p->spec->expand, p->fresh[row] + (uint32_t)x * p->in->channels,
                                  (uint32_t)count, p->in->channels, p->hidden, out,
                                  (int32_t)(column_of(p, at, row, x + 1) - out), at->wide);
            }
        }
    }
    return x;
}

/* Filters the window that begins at `column`. */
EXN_APART static void filter(const exn_pass *p, const room *at, int32_t column, int8_t *out)
{
    const int8_t *taps[EXN_MAX_TAPS], *blank = p->spec->depthwise.blank;
    const int8_t **tap = taps;
    int32_t row, x, end = column + p->size, span = p->spec->room.span;
    for (row = 0; row < p->held; row++) {
        tap = exn_line_taps(tap, p->kept[row], column, p->size, p->width, p->hidden, blank);
    }
    for (row = 0; row < p->rows; row++) {
        if (p->fresh[row] != NULL && column >= 0 && end <= p->width &&
            column % span + p->size <= span) {
            const int8_t *first = column_of(p, at, row, column);
            for (x = column; x < end; x++, first += p->hidden) {
                *tap++ = first;
            }
            continue;
        }
        for (x = column; x < end; x++) {
            int inside = p->fresh[row] != NULL && x >= 0 && x < p->width;
            *tap++ = inside ? column_of(p, at, row, x) : blank;
        }
    }
    exn_filter_s8(&p->spec->depthwise, taps, 0, p->hidden, out, NULL);
}

void exn_roomy_row_s8(exn_pass *p, const exn_ring *ring, int8_t *place, const int8_t *input,
                      int8_t *out)
{
    const exn_residual_s8 *spec = p->spec;
    room at = rooms_of(spec, place, p->in->channels, ring->channels);
    int32_t column = -p->left, next = 0, count, k;
    uint32_t x;
    for (x = 0; x < ring->width; x += (uint32_t)count, column += count * p->stride) {
        count = x + 1 < ring->width ? 2 : 1;
        k = column + (count - 1) * p->stride + p->size;
        next = expand(p, &at, next, exn_smaller(k, p->width));
        for (k = 0; k < count; k++) {
            filter(p, &at, column + k * p->stride, at.filtered + (uint32_t)k * p->hidden);
        }
        project(spec, &at, (uint32_t)count, input == NULL ? NULL : input + x * p->in->channels,
                out + x * ring->channels, ring->channels);
    }
    for (k = exn_larger(next - spec->room.span, 0); k < next; k += count) {
        count = exn_smaller(next - k, spec->room.span - k % spec->room.span);
        put_away(p, &at, k, count);
    }
}

void exn_roomy_plain_s8(const exn_residual_s8 *spec, const exn_ring *in, const exn_ring *ring,
                        const int8_t *const *lines, int8_t *place, const int8_t *input, int8_t *out)
{
    const exn_window *window = &spec->depthwise.window;
    room at = rooms_of(spec, place, in->channels, ring->channels);
    const int8_t *taps[EXN_MAX_TAPS];
    int32_t column = -(int32_t)window->left;
    int whole = exn_whole_lines(lines, window->height);
    uint32_t x, k, count;
    for (x = 0; x < ring->width; x += count) {
        count = x + 1 < ring->width ? 2 : 1;
        for (k = 0; k < count; k++, column += window->stride_x) {
            exn_next_taps_s8(&spec->depthwise, lines, whole, column, in->width, in->channels, taps);
            exn_filter_s8(&spec->depthwise, taps, 0, spec->hidden, at.filtered + k * spec->hidden,
                          NULL);
        }
        project(spec, &at, count, input == NULL ? NULL : input + x * in->channels,
                out + x * ring->channels, ring->channels);
    }
}
