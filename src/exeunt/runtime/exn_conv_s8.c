#include "exn_s8.h"

enum { MAX_HEIGHT = 15 };

/* What padding adds to a sum. */
static int32_t padded(const int8_t *weights, int32_t n, int32_t zero)
{
    int32_t sum = 0;
    for (; n > 0; n--) {
        sum += *weights++;
    }
    return sum * zero;
}

/* One output pixel, of whose window some may lie beside the map; lines outside are NULL. */
static void edge(const exn_conv_s8 *conv, const int8_t *const *lines, int32_t column,
                 int32_t width, int32_t pitch, int32_t channels, int8_t *out, uint32_t outputs)
{
    int32_t count = conv->window.width * channels;
    int32_t before = column < 0 ? -column * channels : 0;
    int32_t past = column + conv->window.width - width;
    int32_t after = past > 0 ? past * channels : 0;
    const int8_t *weights = conv->weights;
    uint32_t o, k;
    for (o = 0; o < outputs; o++) {
        int32_t sum = conv->biases[o];
        for (k = 0; k < conv->window.height; k++, weights += count) {
            if (lines[k] == NULL) {
                sum += padded(weights, count, conv->zero);
                continue;
            }
            sum += padded(weights, before, conv->zero);
            sum = exn_dot(sum, weights + before, lines[k] + column * pitch + before,
                          (uint32_t)(count - before - after));
            sum += padded(weights + count - after, after, conv->zero);
        }
        out[o] = exn_quantized(sum, &conv->requantize, o);
    }
}

/* Two neighbouring output pixels whose windows lie within the map. */
static void pair(const exn_conv_s8 *conv, const int8_t *const *lines, int32_t column,
                 int32_t pitch, int32_t channels, int8_t *out, uint32_t outputs)
{
    uint32_t count = (uint32_t)conv->window.width * (uint32_t)channels;
    uint32_t next = conv->window.height * count, hop = conv->window.stride_x * (uint32_t)pitch;
    const int8_t *weights = conv->weights;
    int8_t *beside = out + outputs;
    uint32_t o, k;
    for (o = 0; o + 1 < outputs; o += 2, weights += next) {
        int32_t sums[4];
        sums[0] = sums[2] = conv->biases[o];
        sums[1] = sums[3] = conv->biases[o + 1];
        for (k = 0; k < conv->window.height; k++, weights += count) {
            const int8_t *x = lines[k] + column * pitch;
            exn_dot_2x2(sums, weights, next, x, hop, count);
        }
        out[o] = exn_quantized(sums[0], &conv->requantize, o);
        out[o + 1] = exn_quantized(sums[1], &conv->requantize, o + 1);
        beside[o] = exn_quantized(sums[2], &conv->requantize, o);
        beside[o + 1] = exn_quantized(sums[3], &conv->requantize, o + 1);
    }
    if (o < outputs) {
        int32_t sum = conv->biases[o], other = sum;
        for (k = 0; k < conv->window.height; k++, weights += count) {
            const int8_t *x = lines[k] + column * pitch;
            sum = exn_dot(sum, weights, x, count);
            other = exn_dot(other, weights, x + hop, count);
        }
        out[o] = exn_quantized(sum, &conv->requantize, o);
        beside[o] = exn_quantized(other, &conv->requantize, o);
    }
}

/* A dense convolution of one tensor, or a 1x1 convolution of some of its channels. */
void exn_conv_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_conv_s8 *conv = node->spec;
    const exn_window *window = &conv->window;
    const exn_part *part = exn_parts_of(node, 0);
    const exn_ring *in = &model->rings[part->ring];
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    const int8_t *lines[MAX_HEIGHT];
    int32_t width = in->width, last = width - window->width;
    int32_t top = (int32_t)row * window->stride_y - window->top;
    int inside = 1;
    int32_t x, k;
    for (k = 0; k < window->height; k++) {
        int32_t y = top + k;
        lines[k] = NULL;
        if (y >= 0 && y < in->height) {
            lines[k] = (const int8_t *)exn_place(in, arena, (uint32_t)y) + part->first;
        } else {
            inside = 0;
        }
    }
    for (x = 0; x < ring->width;) {
        int32_t column = x * window->stride_x - window->left;
        if (inside && column >= 0 && x + 1 < ring->width && column + window->stride_x <= last) {
            pair(conv, lines, column, in->channels, part->channels, out, ring->channels);
            x += 2;
            out += 2 * ring->channels;
        } else {
            edge(conv, lines, column, width, in->channels, part->channels, out, ring->channels);
            x++;
            out += ring->channels;
        }
    }
}
