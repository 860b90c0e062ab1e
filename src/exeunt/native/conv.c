/* A convolution, one row of its output at a time, in the lanes that ReX wants.
 *
 * Place q of a phase of its input is what one tap reads for place q of a phase of ReX's. Every tap
 * is then a row of lanes, and the convolution is a product of the weights with them. Rows that the
 * next window reads too stay where they are.
 */
#include "conv.h"
#include "lines.h"

#include <string.h>

size_t conv_taps(const conv_layer *layer)
{
    return (size_t)layer->channels * (size_t)layer->down.size * (size_t)layer->across.size;
}

void conv_lay_out(conv_rows *s, const conv_layer *layer, const rex_axis *across,
                  const kernels *simd, int images, float *block, size_t *used)
{
    const rex_axis *own = &layer->across;
    size_t rows = (size_t)(layer->channels * layer->down.size);
    size_t outputs = (size_t)layer->outputs, taps = conv_taps(layer);
    float *weights = take(block, used, taps * outputs);
    int n;
    s->layer = layer;
    s->map = (affine){weights, layer->biases, taps, outputs};
    s->across = *own;
    s->across.before = across->before * own->stride + own->before;
    s->across.stride = across->stride * own->stride;
    s->columns = (s->hop - 1) * own->stride + own->size;
    s->wide = rounded((size_t)s->columns * s->phase + WIDEST);
    s->rows = take(block, used, rows * s->wide);
    s->low = take(block, used, (size_t)s->hop * s->phase);
    s->high = take(block, used, (size_t)s->hop * s->phase);
    if (block == NULL) {
        return;
    }
    transpose(layer->weights, outputs, taps, weights);
    for (n = 0; n < images; n++) { /* the same number for every column */
        size_t place = (size_t)n * s->lines;
        spread_line(simd, across, s->hop, &layer->low, 0, s->low + place, s->phase, s->lines);
        spread_line(simd, across, s->hop, &layer->high, 0, s->high + place, s->phase, s->lines);
    }
}

static float *row_of(const conv_rows *s, int32_t channel, int32_t line)
{
    int32_t rows = s->layer->down.size;
    return s->rows + (size_t)(channel * rows + line % rows) * s->wide;
}

static void take_line(const conv_rows *s, const rex_maps *maps, const kernels *simd,
                      int32_t image, int images, int32_t line)
{
    const rex_axis *down = &s->layer->down;
    int32_t y = line - down->before, c, n;
    for (c = 0; c < s->layer->channels; c++) {
        float *to = row_of(s, c, line);
        if (y < 0 || y >= down->length) {
            memset(to, 0, s->wide * sizeof *to);
            continue;
        }
        for (n = 0; n < images; n++) {
            const float *from =
                maps->in + (image + n) * maps->image + c * maps->channel + y * maps->row;
            spread_line(simd, &s->across, s->columns, from, maps->column,
                        to + (size_t)n * s->lines, s->phase, s->lines);
        }
    }
}

/* For the t-th column of ReX's hop. */
static void point_at_taps(conv_rows *s, int32_t line, int32_t t)
{
    const rex_axis *down = &s->layer->down, *across = &s->layer->across;
    const float **tap = s->taps;
    int32_t c, k, x;
    for (c = 0; c < s->layer->channels; c++) {
        for (k = 0; k < down->size; k++) {
            for (x = 0; x < across->size; x++) {
                *tap++ = row_of(s, c, line + k) + (size_t)(t * across->stride + x) * s->phase;
            }
        }
    }
}

void conv_row(conv_rows *s, const rex_maps *maps, const kernels *simd, int32_t image, int images,
              int32_t row, float *to, size_t wide)
{
    const rex_axis *down = &s->layer->down;
    int32_t line = row * down->stride, t, o;
    for (s->line = line > s->line ? line : s->line; s->line < line + down->size; s->line++) {
        take_line(s, maps, simd, image, images, s->line);
    }
    for (t = 0; t < s->hop; t++) { /* what is written beside a phase, the next one overwrites */
        point_at_taps(s, line, t);
        simd->product(&s->map, s->taps, to + (size_t)t * s->phase, wide, s->phase);
    }
    for (o = 0; o < s->layer->outputs; o++, to += wide) {
        simd->bound(to, s->low, s->high, (size_t)s->hop * s->phase);
    }
}
