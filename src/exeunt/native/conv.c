/* A convolution, one row of its output at a time, with the pixels of a row side by side.
 *
 * The rows under a window lie by phase, as in `rex.c`; every tap is then a row of lanes, and the
 * convolution is a product of the weights with them.
 */
#include "conv.h"
#include "lines.h"

#include <stdlib.h>
#include <string.h>

typedef struct scratch {
    affine map;
    const float **taps; /* channel, row, column of the window */
    float *rows;        /* channel, row of the window, lane */
    float *made;        /* output, lane */
    size_t phase, wide; /* lanes of a phase, and of a row */
} scratch;

static void point_at_taps(const scratch *s, const conv_layer *layer)
{
    int32_t stride = layer->across.stride, size = layer->across.size, row, x;
    for (row = 0; row < layer->channels * layer->down.size; row++) {
        for (x = 0; x < size; x++) {
            size_t lane = (size_t)(x % stride) * s->phase + (size_t)(x / stride);
            s->taps[row * size + x] = s->rows + (size_t)row * s->wide + lane;
        }
    }
}

/* Takes the rows under output row i of an image. */
static void take_rows(const scratch *s, const conv_layer *layer, const kernels *simd,
                      const float *image, int32_t i)
{
    const rex_axis *down = &layer->down, *across = &layer->across;
    int32_t hop = across->stride < across->size ? across->stride : across->size, c, k;
    for (c = 0; c < layer->channels; c++) {
        for (k = 0; k < down->size; k++) {
            float *to = s->rows + (size_t)(c * down->size + k) * s->wide;
            int32_t y = i * down->stride - down->before + k;
            if (y < 0 || y >= down->length) {
                memset(to, 0, s->wide * sizeof *to);
            } else {
                const float *from = image + ((size_t)c * (size_t)down->length + (size_t)y) *
                                                (size_t)across->length;
                spread_line(simd, across, hop, from, 1, to, s->phase, s->phase);
            }
        }
    }
}

static void put_row(const scratch *s, const conv_layer *layer, float *out, int32_t i)
{
    size_t width = (size_t)layer->across.patches, plane = (size_t)layer->down.patches * width, x;
    int32_t o;
    for (o = 0; o < layer->outputs; o++) {
        const float *from = s->made + (size_t)o * s->wide;
        float *to = out + (size_t)o * plane + (size_t)i * width;
        for (x = 0; x < width; x++) {
            float value = from[x] < layer->low ? layer->low : from[x];
            to[x] = value > layer->high ? layer->high : value;
        }
    }
}

int exeunt_conv(const conv_layer *layer, const float *in, float *out, int32_t images, int simd)
{
    const rex_axis *down = &layer->down, *across = &layer->across;
    const size_t rows = (size_t)(layer->channels * down->size), outputs = (size_t)layer->outputs;
    const size_t taps = rows * (size_t)across->size;
    const kernels *loops = kernels_of(simd);
    scratch s;
    float *weights;
    int32_t n, i;
    if (loops == NULL) {
        return 2;
    }
    s.phase = (size_t)(across->patches + (across->size - 1) / across->stride);
    s.wide = rounded(s.phase * (size_t)across->stride + WIDEST);
    weights = calloc((rows + outputs) * s.wide + taps * outputs, sizeof *weights);
    s.taps = calloc(taps, sizeof *s.taps);
    if (weights == NULL || s.taps == NULL) {
        free(weights);
        free(s.taps);
        return 1;
    }
    transpose(layer->weights, outputs, taps, weights);
    s.map = (affine){weights, layer->biases, taps, outputs};
    s.rows = weights + taps * outputs;
    s.made = s.rows + rows * s.wide;
    point_at_taps(&s, layer);
    for (n = 0; n < images; n++) {
        for (i = 0; i < down->patches; i++) {
            take_rows(&s, layer, loops, in, i);
            loops->product(&s.map, s.taps, s.made, s.wide, (size_t)across->patches);
            put_row(&s, layer, out, i);
        }
        in += rows / (size_t)down->size * (size_t)down->length * (size_t)across->length;
        out += outputs * (size_t)down->patches * (size_t)across->patches;
    }
    free(weights);
    free(s.taps);
    return 0;
}
