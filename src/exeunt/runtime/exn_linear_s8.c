#include "exn_s8.h"

void exn_linear_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_linear_s8 *linear = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const int8_t *x = (const int8_t *)exn_input_row(model, node, 0, arena, row);
    const int8_t *weights = linear->weights;
    uint8_t *out = exn_place(ring, arena, row);
    uint32_t o;
    for (o = 0; o < ring->channels; o++, weights += linear->inputs) {
        int32_t sum = exn_dot(linear->biases[o], weights, x, linear->inputs);
        int32_t value = exn_scale(sum, linear->factors[o]) + linear->zero;
        value = exn_clamp(value, linear->low, linear->high);
        if (linear->wide) {
            ((int16_t *)(void *)out)[o] = (int16_t)value;
        } else {
            ((int8_t *)out)[o] = (int8_t)value;
        }
    }
}
