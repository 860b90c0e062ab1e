#include "exn_s8.h"

#include <string.h>

/* All numbers of the input, pixel after pixel; gathered in the scratch where they lie in parts, or
 * in several rows. */
static const int8_t *find(const exn_model *model, const exn_node *node, uint8_t *arena)
{
    const exn_ring *in = exn_input_ring(model, node, 0);
    int8_t *to = (int8_t *)exn_scratch(node, arena, 0);
    uint32_t y, x, k;
    if (in->height == 1 && node->part_count[0] == 1 &&
        exn_parts_of(node, 0)->channels == in->channels) {
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
    return (const int8_t *)exn_scratch(node, arena, 0);
}

void exn_linear_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t line)
{
    const exn_linear_s8 *linear = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const int8_t *x = find(model, node, arena);
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
