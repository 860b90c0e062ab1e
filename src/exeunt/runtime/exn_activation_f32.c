#include "exn_f32.h"

void exn_activation_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                             uint32_t row)
{
    const exn_function_f32 *function = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, k;
    for (x = 0; x < ring->width; x++) {
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const float *pixel = exn_pixel_f32(model, part, arena, row, x);
            exn_copy(out, pixel, part->channels);
            exn_apply(function, out, part->channels);
            out += part->channels;
        }
    }
}
