#include "exn_s8.h"

#include <string.h>

/* All numbers of the input, pixel after pixel; gathered in the scratch where they lie in parts. */
static const int8_t *find(const exn_model *model, const exn_node *node, uint8_t *arena)
{
    const exn_ring *in = exn_input_ring(model, node, 0);
    int8_t *to = (int8_t *)arena + node->scratch;
    uint32_t y, x, k;
    if (node->part_count[0] == 1 && exn_parts_of(node, 0)->channels == in->channels) {
        return (const int8_t *)exn_place(in, arena, 0);
    }
    for (y = 0; y < in->height; y++) {
        for (x = 0; x < in->width; x++) {
            for (k = 0; k < node->part_count[0]; k++) {
                const exn_part *part = exn_parts_of(node, 0) + k;
                const exn_ring *ring = &model->rings[part->ring];
                memcpy(to, exn_place(ring, arena, y) + x * ring->channels + part->first,
                       part->channels);
                to += part->channels;
            }
        }
    }
    return (const int8_t *)arena + node->scratch;
}

void exn_linear_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_linear_s8 *linear = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const int8_t *x = find(model, node, arena);
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
