#include "exn_f32.h"

void exn_slope_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_slope_f32 *slope = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        const float *below = slope->slopes;
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const float *pixel = exn_pixel_f32(model, part, arena, row, x);
            for (c = 0; c < part->channels; c++, below++) {
                *out++ = pixel[c] < 0.0f ? pixel[c] * *below : pixel[c];
            }
        }
    }
}
