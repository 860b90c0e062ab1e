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
#include <string.h>

enum { ROWS_SUMMED = 64, NUMBERS_AT_ONCE = 4096 };

typedef struct rows {
    const kernels *simd;
    size_t channels, pixels; /* of a row */
    size_t wide;
    float *block;
    size_t most; /* rows at once */
    float *slopes, *offsets, *origins, *more, *rest, *sums;
    float *gradients; /* of the rows at hand, where they lie apart */
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

static int lay_out(rows *s, norm *layer)
{
    size_t used = 0;
    float *place;
    s->simd = kernels_of(layer->simd);
    s->channels = (size_t)layer->channels;
    s->pixels = WIDEST / common(WIDEST, s->channels);
    s->wide = s->pixels * s->channels;
    s->most = NUMBERS_AT_ONCE / s->wide + 4;
    s->block = malloc(((7 + s->most) * s->wide + WIDEST) * sizeof *s->block);
    if (s->block == NULL) {
        layer->failed = 1;
        return 0;
    }
    place = aligned(s->block);
    s->slopes = take(place, &used, s->wide);
    s->offsets = take(place, &used, s->wide);
    s->origins = take(place, &used, s->wide);
    s->more = take(place, &used, s->wide);
    s->rest = take(place, &used, s->wide);
    s->sums = take(place, &used, 2 * s->wide);
    s->gradients = take(place, &used, s->most * s->wide);
    return 1;
}

/* Takes a share: its pixels from `first` to before `last`. Returns 0 when none is left. */
static int take_share(norm *layer, int32_t *share, size_t *first, size_t *last)
{
    size_t pixels = (size_t)layer->pixels, shares = (size_t)layer->shares;
#if defined(__GNUC__)
    *share = __atomic_fetch_add(&layer->next, 1, __ATOMIC_RELAXED);
#else
    *share = layer->next++;
#endif
    *first = pixels * (size_t)*share / shares;
    *last = pixels * ((size_t)*share + 1) / shares;
    return *share < layer->shares;
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

/* The gradients of some pixels side by side. */
static const float *gradients_of(const norm *layer, const rows *s, size_t first, size_t pixels)
{
    const float *from = layer->gradients + first * (size_t)layer->apart;
    size_t p;
    if ((size_t)layer->apart == s->channels) {
        return from;
    }
    for (p = 0; p < pixels; p++) {
        memcpy(s->gradients + p * s->channels, from + p * (size_t)layer->apart,
               s->channels * sizeof *from);
    }
    return s->gradients;
}

/* The kernels for the next of so many pixels, and into how many rows of what width they go. What is
 * less than a row goes without vectors.
 */
static const kernels *next_rows(const rows *s, size_t left, size_t *count, size_t *wide)
{
    *count = left / s->pixels < s->most ? left / s->pixels : s->most;
    *wide = s->wide;
    if (*count > 0) {
        return s->simd;
    }
    *count = 1;
    *wide = left * s->channels;
    return kernels_of(SIMD_SCALAR);
}

static void sum_pixels(const norm *layer, const rows *s, const row_lines *lines, size_t first,
                       size_t left, double *sums)
{
    size_t place, summed = 0;
    for (place = 0; place < 2 * s->wide; place++) {
        s->sums[place] = 0.0f;
    }
    for (place = 0; place < 2 * s->channels; place++) {
        sums[place] = 0.0;
    }
    while (left > 0) {
        size_t count, wide;
        const kernels *use = next_rows(s, left, &count, &wide);
        const float *x = layer->in + first * s->channels;
        place = count * wide / s->channels; /* pixels */
        if (wide != s->wide) {
            flush(s, s->wide, sums);
        }
        if (layer->gradients == NULL) {
            use->sum_rows(x, count, wide, s->origins, s->sums);
        } else {
            const float *g = gradients_of(layer, s, first, place);
            use->sum_gradients(x, g, count, wide, lines, s->origins, s->sums);
        }
        first += place;
        left -= place;
        summed += count;
        if (summed >= ROWS_SUMMED || left == 0) {
            flush(s, wide, sums);
            summed = 0;
        }
    }
}

void exeunt_norm_sum(norm *layer)
{
    int32_t share;
    size_t first, last;
    row_lines lines = {0};
    rows s;
    if (!lay_out(&s, layer)) {
        return;
    }
    repeat(&s, layer->gradients == NULL ? layer->in : layer->means, s.origins);
    if (layer->gradients != NULL) {
        lines = lines_of(&s, layer);
    }
    while (take_share(layer, &share, &first, &last)) {
        double *sums = layer->sums + (size_t)share * 2 * s.channels;
        sum_pixels(layer, &s, &lines, first, last - first, sums);
    }
    free(s.block);
}

void exeunt_norm_close(norm *layer)
{
    size_t channels = (size_t)layer->channels, c;
    double pixels = (double)layer->pixels;
    layer->next = 0;
    for (c = 0; c < channels; c++) {
        double first = 0.0, second = 0.0, rate, mean;
        int32_t k;
        for (k = 0; k < layer->shares; k++) {
            first += layer->sums[(size_t)k * 2 * channels + c];
            second += layer->sums[((size_t)k * 2 + 1) * channels + c];
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

static void write_pixels(const norm *layer, const rows *s, const row_lines *lines, size_t first,
                         size_t left)
{
    while (left > 0) {
        size_t count, wide, pixels, begin = first * s->channels;
        const kernels *use = next_rows(s, left, &count, &wide);
        pixels = count * wide / s->channels;
        if (layer->gradients == NULL) {
            use->map_rows(layer->in + begin, count, wide, lines, layer->out + begin);
        } else {
            const float *g = gradients_of(layer, s, first, pixels);
            use->map_gradients(layer->in + begin, g, count, wide, lines, s->more, s->rest,
                               layer->out + begin);
        }
        first += pixels;
        left -= pixels;
    }
}

void exeunt_norm_write(norm *layer)
{
    int32_t share;
    size_t first, last;
    row_lines lines;
    rows s;
    if (!lay_out(&s, layer)) {
        return;
    }
    lines = lines_of(&s, layer);
    if (layer->gradients != NULL) {
        repeat(&s, layer->more, s.more);
        repeat(&s, layer->rest, s.rest);
    }
    while (take_share(layer, &share, &first, &last)) {
        write_pixels(layer, &s, &lines, first, last - first);
    }
    free(s.block);
}
