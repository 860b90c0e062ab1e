/* A convolution of several tensors behind each other, perhaps scaled first, dilated, or in groups.
 *
 * The pixels under the kernel are gathered in a column, the scratch, those of one group of channels
 * before those of the next.
 */
#include "exn_f32.h"

#include <string.h>

/* Copies one pixel of the input, channel after channel; from one group to the next it is `pitch`. */
static void gather(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                   uint32_t x, float *to, uint32_t group, uint32_t pitch)
{
    const exn_part *part = exn_parts_of(node, 0);
    const exn_part *end = part + node->part_count[0];
    uint32_t room = group;
    for (; part < end; part++) {
        const float *from = exn_pixel_f32(model, part, arena, row, x);
        uint32_t left = part->channels;
        while (left > 0) {
            uint32_t n = left < room ? left : room;
            memcpy(to, from, n * sizeof *to);
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

static void scale(const exn_scale_f32 *before, float *pixel, uint32_t channels)
{
    uint32_t c;
    for (c = 0; c < channels; c++) {
        float value = before->weights[c] * pixel[c] + before->biases[c];
        pixel[c] = exn_limit(value, before->low, before->high);
    }
    exn_apply(before->function, pixel, channels);
}

/* Fills the column for output column `x`; what lies beside the map is 0, and never scaled. */
static void fill(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row,
                 uint32_t x, float *to)
{
    const exn_gathered_conv_f32 *spec = node->spec;
    const exn_window *window = &spec->conv.window;
    const exn_ring *in = exn_input_ring(model, node, 0);
    uint32_t group = spec->channels / spec->groups, g, c;
    uint32_t pitch = (uint32_t)window->height * window->width * group;
    int32_t i, j;
    for (i = 0; i < window->height; i++) {
        int32_t y = (int32_t)row * window->stride_y - window->top + i * spec->dilation_y;
        for (j = 0; j < window->width; j++, to += group) {
            int32_t at = (int32_t)x * window->stride_x - window->left + j * spec->dilation_x;
            if (y < 0 || y >= in->height || at < 0 || at >= in->width) {
                for (g = 0; g < spec->groups; g++) {
                    for (c = 0; c < group; c++) {
                        to[g * pitch + c] = 0.0f;
                    }
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

void exn_gathered_conv_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                                uint32_t row)
{
    const exn_gathered_conv_f32 *spec = node->spec;
    const exn_conv_f32 *conv = &spec->conv;
    const exn_ring *ring = exn_output_ring(model, node);
    float *column = (float *)(void *)exn_scratch(node, arena, row);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t taps = (uint32_t)conv->window.height * conv->window.width;
    uint32_t count = taps * (spec->channels / spec->groups);
    uint32_t outputs = ring->channels / spec->groups, x, g, o;
    for (x = 0; x < ring->width; x++, out += ring->channels) {
        fill(model, node, arena, row, x, column);
        for (g = 0; g < spec->groups; g++) {
            exn_map(conv->weights + g * count * outputs, conv->biases + g * outputs, outputs,
                    column + g * count, count, out + g * outputs);
        }
        for (o = 0; o < ring->channels; o++) {
            out[o] = exn_limit(out[o], conv->low, conv->high);
        }
        exn_apply(conv->function, out, ring->channels);
    }
}
