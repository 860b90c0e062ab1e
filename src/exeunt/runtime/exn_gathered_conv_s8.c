/* A dense convolution of several tensors behind each other, perhaps scaled first, or dilated.
 *
 * The pixels under the kernel are gathered in a column, the scratch.
 */
#include "exn_s8.h"

#include <string.h>

/* Copies one pixel of the input, channel after channel. */
static void gather(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                   uint32_t x, int8_t *to)
{
    const exn_part *part = exn_parts_of(node, 0);
    const exn_part *end = part + node->part_count[0];
    for (; part < end; part++) {
        const exn_ring *in = &model->rings[part->ring];
        memcpy(to, exn_place(in, arena, row) + x * in->channels + part->first, part->channels);
        to += part->channels;
    }
}

static void scale(const exn_scale_s8 *before, int8_t *pixel, uint32_t channels)
{
    const exn_row *row = before->requantize.rows;
    uint32_t c;
    for (c = 0; c < channels; c++) {
        int32_t sum = before->weights[c] * pixel[c];
        pixel[c] = (int8_t)exn_int8(exn_scale_next(&row, sum, before->requantize.zero));
    }
    exn_limit(pixel, channels, &before->requantize);
}

void exn_gathered_conv_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                               uint32_t row)
{
    const exn_gathered_conv_s8 *spec = node->spec;
    const exn_conv_s8 *conv = &spec->conv;
    const exn_window *window = &conv->window;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *column = (int8_t *)exn_scratch(node, arena, row);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t channels = spec->channels, x;
    uint32_t count = (uint32_t)window->height * window->width * channels;
    for (x = 0; x < ring->width; x++) {
        int8_t *to = column;
        int32_t i, j;
        for (i = 0; i < window->height; i++) {
            int32_t y = (int32_t)row * window->stride_y - window->top + i * spec->dilation_y;
            for (j = 0; j < window->width; j++) {
                int32_t at = (int32_t)x * window->stride_x - window->left + j * spec->dilation_x;
                if (y < 0 || y >= in->height || at < 0 || at >= in->width) {
                    memset(to, conv->zero, channels);
                    to += channels;
                    continue;
                }
                gather(model, node, arena, (uint32_t)y, (uint32_t)at, to);
                if (spec->before != NULL) {
                    scale(spec->before, to, channels);
                }
                to += channels;
            }
        }
        exn_mix_s8(conv, column, count, 0, ring->channels, out);
        out += ring->channels;
    }
}
