#include "exn_s8.h"

enum { BITS = 8, ONE = 1 << BITS };

void exn_resize_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_resize_s8 *resize = node->spec;
    const exn_between *down = &resize->down[row];
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        const exn_between *across = &resize->across[x];
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            const int8_t *top = (const int8_t *)exn_place(in, arena, down->first) + part->first;
            const int8_t *bottom = (const int8_t *)exn_place(in, arena, down->second) + part->first;
            uint32_t left = (uint32_t)across->first * in->channels;
            uint32_t right = (uint32_t)across->second * in->channels;
            for (c = 0; c < part->channels; c++) {
                int32_t a = top[left + c] * (ONE - down->share) + bottom[left + c] * down->share;
                int32_t b = top[right + c] * (ONE - down->share) + bottom[right + c] * down->share;
                a = a * (ONE - across->share) + b * across->share;
                *out++ = (int8_t)((a + (1 << (2 * BITS - 1))) >> (2 * BITS));
            }
        }
    }
}
