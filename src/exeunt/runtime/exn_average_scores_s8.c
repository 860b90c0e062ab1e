#include "exn_s8.h"

void exn_average_scores_s8_take(const exn_model *model, const exn_node *node, uint8_t *arena,
                                uint32_t row)
{
    exn_average_s8_take(model, node, arena, row);
}

void exn_average_scores_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                                uint32_t row)
{
    const exn_average_s8 *average = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const exn_ring *in = exn_input_ring(model, node, 0);
    const int32_t *sums = (const int32_t *)(const void *)(arena + node->kept);
    int16_t *out = (int16_t *)(void *)exn_place(ring, arena, row);
    int32_t zeros = in->height * in->width * average->zero_in;
    uint32_t c;
    for (c = 0; c < ring->channels; c++) {
        int32_t value = exn_scale(sums[c] - zeros, average->factor) + average->zero_out;
        out[c] = (int16_t)exn_clamp(value, INT16_MIN, INT16_MAX);
    }
}
