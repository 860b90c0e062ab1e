/* Some rows, columns and channels of a map, in another place: padding, slicing, joining. */
#include "exn_f32.h"

/* Puts the channels of one part, the first of which is channel `at` of all, where they belong. */
static void put(const exn_move_f32 *move, const float *pixel, int32_t count, int32_t at,
                float *out, int32_t channels)
{
    int32_t step = move->step_channel, far = at - move->channel;
    int32_t c = far < 0 ? -far : (step - far % step) % step;
    int32_t to = (far + c) / step;
    for (; c < count && to < channels; c += step, to++) {
        out[to] = pixel[c];
    }
}

void exn_move_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_move_f32 *move = node->spec;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    int32_t y = move->top + (int32_t)row * move->step_y, x = move->left;
    uint32_t column, c, k;
    for (column = 0; column < ring->width; column++, x += move->step_x, out += ring->channels) {
        int32_t at = 0;
        for (c = 0; c < ring->channels; c++) {
            out[c] = 0.0f;
        }
        if (y < 0 || y >= in->height || x < 0 || x >= in->width) {
            continue;
        }
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const float *pixel = exn_pixel_f32(model, part, arena, (uint32_t)y, (uint32_t)x);
            put(move, pixel, part->channels, at, out, ring->channels);
            at += part->channels;
        }
    }
}
