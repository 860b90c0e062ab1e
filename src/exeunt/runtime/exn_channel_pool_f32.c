#include "exn_f32.h"

void exn_channel_pool_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                               uint32_t row)
{
    const exn_channel_pool_f32 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        float most = 0.0f, sum = 0.0f;
        int first = 1;
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const float *pixel = exn_pixel_f32(model, part, arena, row, x);
            for (c = 0; c < part->channels; c++) {
                most = first || pixel[c] > most ? pixel[c] : most;
                sum += pixel[c];
                first = 0;
            }
        }
        *out++ = pool->average ? sum / (float)pool->channels : most;
    }
}
