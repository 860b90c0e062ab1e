#include "exn_s8.h"

void exn_slope_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_slope_s8 *slope = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        const exn_factor *below = slope->below;
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            const int8_t *pixel =
                (const int8_t *)exn_place(in, arena, row) + x * in->channels + part->first;
            for (c = 0; c < part->channels; c++, below++) {
                int32_t from = pixel[c] - slope->zero_in;
                int32_t value = exn_scale(from, from < 0 ? *below : slope->above);
                *out++ = (int8_t)exn_clamp(value + slope->zero_out, INT8_MIN, INT8_MAX);
            }
        }
    }
}
