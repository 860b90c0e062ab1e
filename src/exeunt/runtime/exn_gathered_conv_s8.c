/* A convolution of several tensors behind each other, perhaps scaled first, dilated, or in groups.
 *
 * The pixels under the kernel are gathered in a column, the scratch, those of one group of channels
 * before those of the next.
 */
#include "exn_s8.h"

#include <string.h>

/* Copies one pixel of the input, channel after channel; from one group to the next it is `pitch`. */
static void gather(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                   uint32_t x, int8_t *to, uint32_t group, uint32_t pitch)
{
    const exn_part *part = exn_parts_of(node, 0);
    const exn_part *end = part + node->part_count[0];
    uint32_t room = group;
    for (; part < end; part++) {
        const exn_ring *in = &model->rings[part->ring];
        const uint8_t *from = exn_place(in, arena, row) + x * in->channels + part->first;
        uint32_t left = part->channels;
        while (left > 0) {
            uint32_t n = left < room ? left : room;
            memcpy(to, from, n);
            from += n;
            to += n;
            left -= n;
            room -= n;
            if (room == 0) {
                to += pitch - group;
                room = group;
            }
        }
    }
}

static void scale(const exn_scale_s8 *before, int8_t *pixel, uint32_t channels)
{
    uint32_t c;
    for (c = 0; c < channels; c++) {
        pixel[c] = exn_output(&before->requantize, c, before->weights[c] * pixel[c]);
    }
    exn_limit(pixel, channels, &before->requantize);
}

/* Fills the column for output column `x`; what lies beside the map is never scaled. */
static void fill(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                 uint32_t x, int8_t *to)
{
    const exn_gathered_conv_s8 *spec = node->spec;
    const exn_window *window = &spec->conv.window;
    const exn_ring *in = exn_input_ring(model, node, 0);
    uint32_t group = spec->channels / spec->groups, g;
    uint32_t pitch = (uint32_t)window->height * window->width * group;
    int32_t i, j;
    for (i = 0; i < window->height; i++) {
        int32_t y = (int32_t)row * window->stride_y - window->top + i * spec->dilation_y;
        for (j = 0; j < window->width; j++, to += group) {
            int32_t at = (int32_t)x * window->stride_x - window->left + j * spec->dilation_x;
            if (y < 0 || y >= in->height || at < 0 || at >= in->width) {
                for (g = 0; g < spec->groups; g++) {
                    memset(to + g * pitch, spec->conv.zero, group);
                }
                continue;
            }
            gather(model, node, arena, (uint32_t)y, (uint32_t)at, to, group, pitch);
            if (spec->before != NULL) { /* there is one group then */
                scale(spec->before, to, group);
            }
        }
    }
}

void exn_gathered_conv_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                               uint32_t row)
{
    const exn_gathered_conv_s8 *spec = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *column = (int8_t *)exn_scratch(node, arena, row);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t taps = (uint32_t)spec->conv.window.height * spec->conv.window.width;
    uint32_t count = taps * (spec->channels / spec->groups);
    uint32_t outputs = ring->channels / spec->groups, rows = (outputs + 3) & ~(uint32_t)3, x, g;
    for (x = 0; x < ring->width; x++) {
        exn_conv_s8 conv = spec->conv;
        fill(model, node, arena, row, x, column);
        for (g = 0; g < spec->groups; g++, out += outputs) {
            exn_mix_s8(&conv, column + g * count, count, 0, outputs, out);
            conv.weights += exn_packed_size(rows, count);
            exn_go_on(&conv.requantize, rows);
        }
    }
}
