/* Batch norm and a bounding activation over pixels whose channels lie side by side.
 *
 * So many pixels make a row that vectors fit it: the channels of a row repeat, and so does all that
 * belongs to channels. Of sums, some rows' are single floats, and all rows' are doubles. What is
 * summed is measured from the first pixel, so that a large mean leaves the variance its digits.
 */
#include "norm.h"
#include "lines.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS_SUMMED = 64, NUMBERS_AT_ONCE = 4096 };

typedef struct rows {
    const kernels *simd;
    size_t channels, pixels; /* of a row */
    size_t wide;
    float *block;
    float *slopes, *offsets, *origins, *more, *rest, *sums;
} rows;

static size_t common(size_t a, size_t b)
{
    return b == 0 ? a : common(b, a % b);
}

/* Something of each channel, repeated over a row. */
static void repeat(const rows *s, const float *from, float *to)
{
    size_t place;
    for (place = 0; place < s->wide; place++) {
        to[place] = from[place % s->channels];
    }
}

static int lay_out(rows *s, const norm *layer, int simd)
{
    size_t used = 0;
    float *place;
    s->simd = kernels_of(simd);
    s->channels = (size_t)layer->channels;
    s->pixels = WIDEST / common(WIDEST, s->channels);
    s->wide = s->pixels * s->channels;
    s->block = malloc((7 * s->wide + WIDEST) * sizeof *s->block);
    if (s->block == NULL) {
        return 1;
    }
    place = aligned(s->block);
    s->slopes = take(place, &used, s->wide);
    s->offsets = take(place, &used, s->wide);
    s->origins = take(place, &used, s->wide);
    s->more = take(place, &used, s->wide);
    s->rest = take(place, &used, s->wide);
    s->sums = take(place, &used, 2 * s->wide);
    return 0;
}

static row_lines lines_of(const rows *s, const norm *layer)
{
    row_lines lines;
    repeat(s, layer->slopes, s->slopes);
    repeat(s, layer->offsets, s->offsets);
    lines.slopes = s->slopes;
    lines.offsets = s->offsets;
    lines.low = layer->low;
    lines.high = layer->high;
    return lines;
}

/* The sums so far become part of the doubles, and begin anew. */
static void flush(const rows *s, size_t wide, double *sums)
{
    size_t way, place;
    for (way = 0; way < 2; way++) {
        for (place = 0; place < wide; place++) {
            sums[way * s->channels + place % s->channels] += s->sums[way * wide + place];
            s->sums[way * wide + place] = 0.0f;
        }
    }
}

int exeunt_norm_sum(const norm *layer, int64_t first, int64_t last, double *sums, int simd)
{
    size_t place, summed = 0, left = (size_t)(last - first);
    const float *x = layer->in + first * layer->channels;
    const float *g = layer->gradients == NULL ? NULL : layer->gradients + first * layer->channels;
    row_lines lines = {0};
    rows s;
    if (lay_out(&s, layer, simd)) {
        return 1;
    }
    repeat(&s, g == NULL ? layer->in : layer->means, s.origins);
    if (g != NULL) {
        lines = lines_of(&s, layer);
    }
    for (place = 0; place < 2 * s.wide; place++) {
        s.sums[place] = 0.0f;
    }
    for (place = 0; place < 2 * s.channels; place++) {
        sums[place] = 0.0;
    }
    while (left > 0) {
        const kernels *use = s.simd;
        size_t wide = s.wide, count = left / s.pixels, most = NUMBERS_AT_ONCE / wide + 4;
        count = count < most ? count : most;
        if (count == 0) { /* less than a row: without vectors */
            flush(&s, wide, sums);
            use = kernels_of(SIMD_SCALAR);
            wide = left * s.channels;
            count = 1;
        }
        if (g == NULL) {
            use->sum_rows(x, count, wide, s.origins, s.sums);
        } else {
            use->sum_gradients(x, g, count, wide, &lines, s.origins, s.sums);
            g += count * wide;
        }
        x += count * wide;
        left -= count * wide / s.channels;
        summed += count;
        if (summed >= ROWS_SUMMED || left == 0 || use != s.simd) {
            flush(&s, wide, sums);
            summed = 0;
        }
    }
    free(s.block);
    return 0;
}

void exeunt_norm_close(const norm *layer, const double *sums, int32_t shares)
{
    size_t channels = (size_t)layer->channels, c;
    double pixels = (double)layer->pixels;
    for (c = 0; c < channels; c++) {
        double first = 0.0, second = 0.0, rate, mean;
        int32_t k;
        for (k = 0; k < shares; k++) {
            first += sums[(size_t)k * 2 * channels + c];
            second += sums[((size_t)k * 2 + 1) * channels + c];
        }
        if (layer->gradients == NULL) {
            mean = first / pixels;
            second = second / pixels - mean * mean;
            layer->variances[c] = (float)(second < 0.0 ? 0.0 : second);
            mean += layer->in[c];
            rate = 1.0 / sqrt((double)layer->variances[c] + layer->epsilon);
            layer->means[c] = (float)mean;
            layer->slopes[c] = (float)(layer->weights[c] * rate);
            layer->offsets[c] = (float)(layer->biases[c] - layer->weights[c] * rate * mean);
            continue;
        }
        rate = 1.0 / sqrt((double)layer->variances[c] + layer->epsilon);
        layer->bias_gradients[c] = (float)first;
        layer->weight_gradients[c] = (float)(second * rate);
        mean = -layer->weights[c] * rate * rate * rate * second / pixels;
        layer->more[c] = (float)mean;
        layer->rest[c] =
            (float)(-layer->weights[c] * rate * first / pixels - mean * layer->means[c]);
    }
}

int exeunt_norm_write(const norm *layer, int64_t first, int64_t last, int simd)
{
    const kernels *use;
    size_t left = (size_t)(last - first), begin = (size_t)first * (size_t)layer->channels;
    row_lines lines;
    rows s;
    if (lay_out(&s, layer, simd)) {
        return 1;
    }
    use = s.simd;
    lines = lines_of(&s, layer);
    if (layer->gradients != NULL) {
        repeat(&s, layer->more, s.more);
        repeat(&s, layer->rest, s.rest);
    }
    while (left > 0) {
        size_t wide = s.wide, count = left / s.pixels;
        if (count == 0) {
            use = kernels_of(SIMD_SCALAR);
            wide = left * s.channels;
            count = 1;
        }
        if (layer->gradients == NULL) {
            use->map_rows(layer->in + begin, count, wide, &lines, layer->out + begin);
        } else {
            use->map_gradients(layer->in + begin, layer->gradients + begin, count, wide, &lines,
                               s.more, s.rest, layer->out + begin);
        }
        begin += count * wide;
        left -= count * wide / s.channels;
    }
    free(s.block);
    return 0;
}
