/* A dense convolution of several tensors behind each other, perhaps scaled first, or dilated.
 *
 * The pixels under the kernel are gathered in a column, the scratch.
 */
#include "exn_f32.h"

#include <string.h>

/* Copies one pixel of the input, channel after channel. */
static void gather(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                   uint32_t x, float *to)
{
    const exn_part *part = exn_parts_of(node, 0);
    const exn_part *end = part + node->part_count[0];
    for (; part < end; to += part->channels, part++) {
        memcpy(to, exn_pixel_f32(model, part, arena, row, x), part->channels * sizeof *to);
    }
}

static void scale(const exn_scale_f32 *before, float *pixel, uint32_t channels)
{
    uint32_t c;
    for (c = 0; c < channels; c++) {
        float value = before->weights[c] * pixel[c] + before->biases[c];
        pixel[c] = exn_limit(value, before->low, before->high);
    }
}

/* Fills the column for output column `x`; what lies beside the map is 0, and never scaled. */
static void fill(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                 uint32_t x, float *to)
{
    const exn_gathered_conv_f32 *spec = node->spec;
    const exn_window *window = &spec->conv.window;
    const exn_ring *in = exn_input_ring(model, node, 0);
    uint32_t channels = spec->channels, c;
    int32_t i, j;
    for (i = 0; i < window->height; i++) {
        int32_t y = (int32_t)row * window->stride_y - window->top + i * spec->dilation_y;
        for (j = 0; j < window->width; j++, to += channels) {
            int32_t at = (int32_t)x * window->stride_x - window->left + j * spec->dilation_x;
            if (y < 0 || y >= in->height || at < 0 || at >= in->width) {
                for (c = 0; c < channels; c++) {
                    to[c] = 0.0f;
                }
                continue;
            }
            gather(model, node, arena, (uint32_t)y, (uint32_t)at, to);
            if (spec->before != NULL) {
                scale(spec->before, to, channels);
            }
        }
    }
}

void exn_gathered_conv_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                                uint32_t row)
{
    const exn_gathered_conv_f32 *spec = node->spec;
    const exn_conv_f32 *conv = &spec->conv;
    const exn_ring *ring = exn_output_ring(model, node);
    float *column = (float *)(void *)exn_scratch(node, arena, row);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t count = (uint32_t)conv->window.height * conv->window.width * spec->channels;
    uint32_t x, o;
    for (x = 0; x < ring->width; x++) {
        fill(model, node, arena, row, x, column);
        exn_map(conv->weights, conv->biases, ring->channels, column, count, out);
        for (o = 0; o < ring->channels; o++, out++) {
            *out = exn_limit(*out, conv->low, conv->high);
        }
    }
}
