#include "exn_s8.h"

void exn_channel_pool_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                              uint32_t row)
{
    const exn_channel_pool_s8 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        int32_t most = INT8_MIN, sum = -(int32_t)pool->channels * pool->zero;
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            const int8_t *pixel =
                (const int8_t *)exn_place(in, arena, row) + x * in->channels + part->first;
            for (c = 0; c < part->channels; c++) {
                most = exn_larger(most, pixel[c]);
                sum += pixel[c];
            }
        }
        *out++ = (int8_t)(pool->average ? exn_divide(sum, pool->channels) + pool->zero : most);
    }
}
