#include "exn_s8.h"

void exn_linear_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t line)
{
    const exn_linear_s8 *linear = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const int8_t *x = (const int8_t *)exn_input_row(model, node, 0, arena, line);
    const int16_t *weights = linear->weights;
    const exn_row *row = linear->rows;
    uint8_t *out = exn_place(ring, arena, line);
    uint32_t o, k;
    for (o = 0; o < ring->channels; o += 4) {
        int32_t sums[4] = {0};
        uint32_t end = ring->channels - o < 4 ? ring->channels : o + 4;
        weights = exn_dot_4(sums, weights, x, linear->inputs);
        for (k = o; k < end; k++) {
            int32_t value = exn_scale_next(&row, sums[k - o], linear->zero);
            value = exn_clamp(value, linear->low, linear->high);
            if (linear->wide) {
                ((int16_t *)(void *)out)[k] = (int16_t)value;
            } else {
                ((int8_t *)out)[k] = (int8_t)value;
            }
        }
    }
}
