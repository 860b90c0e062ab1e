#include "exn_s8.h"

#include <string.h>

enum { MAX_HEIGHT = 15 };

/* What a window sees. */
typedef struct view {
    const int8_t *lines[MAX_HEIGHT];  /* NULL outside the map */
    int32_t column;                   /* where the window begins */
    int32_t width;                    /* of the map */
    uint32_t pitch, channels;
    int in_one;                       /* whether the pixels of a line lie within, side by side */
} view;

/* Finds out whether the window lies within the map. */
static void look(view *v, const exn_window *window)
{
    v->in_one = v->pitch == v->channels && v->column >= 0 &&
                v->column + (int32_t)window->width <= v->width;
}

static const int8_t *tap(const view *v, uint32_t line, uint32_t j)
{
    int32_t x = v->column + (int32_t)j;
    return v->lines[line] == NULL || x < 0 || x >= v->width
               ? NULL
               : v->lines[line] + (uint32_t)x * v->pitch;
}

/* Copies numbers; what is at least a word in whole words, the last perhaps twice. */
EXN_INLINE void copy(int8_t *into, const int8_t *from, uint32_t n)
{
    const int8_t *end = from + n;
    if (n >= 4) {
        for (into += n - 4, end -= 4; from < end; end -= 4, into -= 4) {
            memcpy(into, end, 4);
        }
        into += from - end;
        memcpy(into, from, 4);
        return;
    }
    for (; from < end; from++) {
        *into++ = *from;
    }
}

/* Copies a window. */
static void gather(const exn_conv_s8 *conv, const view *v, int8_t *into)
{
    uint32_t k, j, width = conv->window.width, height = conv->window.height;
    uint32_t size = width * v->channels;
    int32_t begin = v->column * (int32_t)v->pitch;
    for (k = 0; k < height; k++) {
        if (v->in_one && v->lines[k] != NULL) {
            copy(into, v->lines[k] + begin, size);
            into += size;
            continue;
        }
        for (j = 0; j < width; j++, into += v->channels) {
            const int8_t *pixel = tap(v, k, j);
            if (pixel == NULL) {
                memset(into, conv->zero, v->channels);
            } else {
                copy(into, pixel, v->channels);
            }
        }
    }
}

#ifdef EXN_X86
/* Widens the pixels that a large window sees, and gives the size then: they lie as their weights
 * do. Or nothing, where that is too long. */
static uint32_t widen(const exn_conv_s8 *conv, const view *v, int16_t *wide)
{
    uint32_t filled = (v->channels + 7) & ~(uint32_t)7, k, j;
    uint32_t size = conv->window.height * conv->window.width * filled;
    for (k = 0; k < conv->window.height && size <= EXN_WIDEST; k++) {
        for (j = 0; j < conv->window.width; j++, wide += EXN_COPIES * filled) {
            const int8_t *x = tap(v, k, j);
            exn_widen(wide, x == NULL ? conv->blank : x, v->channels);
        }
    }
    return size <= EXN_WIDEST ? size : 0;
}
#endif

/* Four sums over a large window. */
static const int16_t *sum_up(int32_t sums[4], const exn_conv_s8 *conv, const int16_t *weights,
                             const view *v)
{
    uint32_t k, j, step, width = conv->window.width;
    for (k = 0; k < conv->window.height; k++) {
        step = v->in_one && v->lines[k] != NULL && v->channels % 8 == 0 ? width : 1;
        for (j = 0; j < width; j += step) {
            const int8_t *x = tap(v, k, j);
            weights = exn_dot_4(sums, weights, x == NULL ? conv->blank : x, step * v->channels);
        }
    }
    return weights;
}

static void mix_large(const exn_conv_s8 *conv, const view *v, int8_t *out, uint32_t outputs)
{
    const exn_requantize *to = &conv->requantize;
    const int16_t *weights = conv->weights;
    uint32_t o;
#ifdef EXN_X86
    int16_t wide[EXN_COPIES * EXN_WIDEST];
    uint32_t size = widen(conv, v, wide);
    if (size > 0) {
        exn_mix_wide(conv, wide, size, 0, outputs, out);
        exn_limit(out, outputs, to);
        return;
    }
#endif
    for (o = 0; o < outputs; o += 4) {
        int32_t sums[4] = {0};
        weights = sum_up(sums, conv, weights, v);
        exn_store(out + o, to, o, sums, outputs - o < 4 ? outputs - o : 4);
    }
    exn_limit(out, outputs, to);
}

#ifdef EXN_DSP
/* Two gathered windows. */
EXN_APART static void mix_gathered(const exn_conv_s8 *conv, const int8_t *gathered, uint32_t inputs,
                                   uint32_t outputs, int8_t *out)
{
    EXN_WORDS int16_t wide[EXN_GATHERED];
    exn_widen_twice(wide, gathered, gathered + inputs, inputs);
    exn_mix_widened_s8(conv, wide, inputs, outputs, out, (int32_t)outputs);
}

/* Windows of two outputs, widened side by side; a window's pixels take multiples of 4 numbers. */
static void widen_two(const exn_conv_s8 *conv, view *v, int32_t stride, int16_t *wide)
{
    uint32_t k, j, width = conv->window.width, n = v->channels;
    int32_t begin = v->column, at = begin * (int32_t)v->pitch, further = stride * (int32_t)v->pitch;
    int inside = v->pitch == n && begin >= 0 && begin + stride + (int32_t)width <= v->width;
    for (k = 0; k < conv->window.height; k++) {
        if (inside && v->lines[k] != NULL) {
            const int8_t *line = v->lines[k] + at;
            exn_widen_twice(wide, line, line + further, width * n);
            wide += 2 * width * n;
            continue;
        }
        for (j = 0; j < width; j++, wide += 2 * n) {
            const int8_t *x = tap(v, k, j), *y = tap(v, k, j + (uint32_t)stride);
            exn_widen_twice(wide, x == NULL ? conv->blank : x, y == NULL ? conv->blank : y, n);
        }
    }
}

/* Two outputs at a time, as long as there are two; gives how many there are. */
EXN_APART static uint32_t make_twos(const exn_conv_s8 *conv, view *v, const exn_ring *ring, int8_t *out,
                          int8_t *room)
{
    uint32_t inputs = conv->window.height * conv->window.width * v->channels, x;
    int16_t *wide = (int16_t *)(void *)room;
    for (x = 0; x + 2 <= ring->width; x += 2, v->column += 2 * conv->window.stride_x) {
        widen_two(conv, v, conv->window.stride_x, wide);
        exn_mix_widened_s8(conv, wide, inputs, ring->channels, out + x * ring->channels,
                           ring->channels);
    }
    return x;
}
#endif

/* A dense convolution of one tensor, or of some of its channels. */
void exn_conv_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_conv_s8 *conv = node->spec;
    const exn_window *window = &conv->window;
    const exn_part *part = exn_parts_of(node, 0);
    const exn_ring *in = &model->rings[part->ring];
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t pixels = (uint32_t)window->height * window->width;
    uint32_t inputs = pixels * part->channels, x;
    int8_t gathered[EXN_GATHERED];
    view v;
    exn_lines_s8(in, arena, window, row, part->first, v.lines);
    v.width = in->width;
    v.pitch = in->channels;
    v.channels = part->channels;
    v.column = -(int32_t)window->left;
    x = 0;
#ifdef EXN_DSP
    if (conv->requantize.fours != NULL && exn_room_of(conv->room, arena, row) != NULL) {
        x = make_twos(conv, &v, ring, out, exn_room_of(conv->room, arena, row));
        out += x * ring->channels;
    }
#endif
    for (; x < ring->width; x++, v.column += window->stride_x, out += ring->channels) {
        const int8_t *pixel = pixels == 1 ? tap(&v, 0, 0) : NULL;
        look(&v, window);
        if (pixel != NULL) {
            exn_mix_s8(conv, pixel, inputs, 0, ring->channels, out);
        } else if (inputs <= EXN_GATHERED) {
            gather(conv, &v, gathered);
#ifdef EXN_DSP
            if (conv->requantize.fours != NULL && 2 * inputs <= EXN_GATHERED && x + 1 < ring->width) {
                v.column += window->stride_x;
                look(&v, window);
                gather(conv, &v, gathered + inputs);
                mix_gathered(conv, gathered, inputs, ring->channels, out);
                out += ring->channels;
                x++;
                continue;
            }
#endif
            exn_mix_s8(conv, gathered, inputs, 0, ring->channels, out);
        } else {
            mix_large(conv, &v, out, ring->channels);
        }
    }
}
