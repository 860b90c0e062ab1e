#include "exn_f32.h"

enum { MAX_HEIGHT = 15 };

/* One output pixel; what lies beside the map adds nothing, and lines outside are NULL. */
static void pixel(const exn_conv_f32 *conv, const float *const *lines, int32_t column,
                  int32_t width, int32_t pitch, int32_t channels, float *out, uint32_t outputs)
{
    int32_t before = column < 0 ? -column : 0;
    int32_t past = column + conv->window.width - width;
    int32_t inside = conv->window.width - before - (past > 0 ? past : 0);
    uint32_t line = (uint32_t)(conv->window.width * channels) * outputs;
    uint32_t skipped = (uint32_t)(before * channels) * outputs;
    uint32_t first, k;
    for (first = 0; first < outputs; first += EXN_LANES) {
        uint32_t lanes = exn_lanes_left(first, outputs);
        const float *weights = conv->weights + skipped + first;
        float sums[EXN_LANES];
        exn_copy(sums, conv->biases + first, lanes);
        for (k = 0; k < conv->window.height && inside > 0; k++, weights += line) {
            if (lines[k] != NULL) {
                exn_add_products(sums, lanes, weights, outputs,
                                 lines[k] + (column + before) * pitch,
                                 (uint32_t)(inside * channels));
            }
        }
        exn_copy_limited(out + first, sums, lanes, conv->low, conv->high);
        exn_apply(conv->function, out + first, lanes);
    }
}

/* A dense convolution of one tensor, or a 1x1 convolution of some of its channels. */
void exn_conv_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_conv_f32 *conv = node->spec;
    const exn_window *window = &conv->window;
    const exn_part *part = exn_parts_of(node, 0);
    const exn_ring *in = &model->rings[part->ring];
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    const float *lines[MAX_HEIGHT];
    int32_t x;
    exn_lines_f32(in, arena, window, row, part->first, lines);
    for (x = 0; x < ring->width; x++, out += ring->channels) {
        pixel(conv, lines, x * window->stride_x - window->left, in->width, in->channels,
              part->channels, out, ring->channels);
    }
}
