/* Padding, slicing, joining. */
#include "exn_move.h"

#include <string.h>

#include "exn_access.h"

/* Puts the channels of one part, the first of which is channel `at` of all, where they belong. */
static void put(const exn_move *move, const uint8_t *pixel, int32_t count, int32_t at,
                uint8_t *out, int32_t channels)
{
    uint32_t bytes = move->number_bytes;
    int32_t step = move->step_channel, far = at - move->channel;
    int32_t c = far < 0 ? -far : (step - far % step) % step;
    int32_t to = (far + c) / step;
    for (; c < count && to < channels; c += step, to++) {
        memcpy(out + (uint32_t)to * bytes, pixel + (uint32_t)c * bytes, bytes);
    }
}

void exn_move_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_move *move = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    uint8_t *out = exn_place(ring, arena, row);
    uint32_t bytes = move->number_bytes, pixel = ring->channels * bytes, column, k;
    int32_t y = move->top + (int32_t)row * move->step_y, x = move->left;
    memset(out, move->blank, ring->width * pixel);
    for (column = 0; column < ring->width; column++, x += move->step_x, out += pixel) {
        int32_t at = 0;
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            if (y >= 0 && y < in->height && x >= 0 && x < in->width) {
                put(move,
                    exn_place(in, arena, (uint32_t)y) +
                        ((uint32_t)x * in->channels + part->first) * bytes,
                    part->channels, at, out, ring->channels);
            }
            at += part->channels;
        }
    }
}
