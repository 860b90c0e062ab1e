#include "exn_s8.h"

static int8_t pooled(const exn_pool_s8 *pool, const exn_ring *in, uint8_t *arena,
                     const exn_area *window, uint32_t channel)
{
    int32_t best = INT8_MIN, sum = 0, y, x;
    for (y = window->top; y < window->bottom; y++) {
        const int8_t *pixels = (const int8_t *)exn_place(in, arena, (uint32_t)y) + channel;
        for (x = window->left; x < window->right; x++) {
            int32_t value = pixels[(uint32_t)x * in->channels];
            best = exn_larger(best, value);
            sum += value - pool->zero;
        }
    }
    return (int8_t)(pool->average ? exn_divide(sum, window->count) + pool->zero : best);
}

void exn_pool_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_pool_s8 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            exn_area window = exn_area_of(&pool->window, pool->count_padding, in, row, x);
            for (c = 0; c < part->channels; c++) {
                *out++ = pooled(pool, in, arena, &window, part->first + c);
            }
        }
    }
}
