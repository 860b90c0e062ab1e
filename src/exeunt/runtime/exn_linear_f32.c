#include "exn_f32.h"

void exn_linear_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row)
{
    const exn_linear_f32 *linear = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const float *x = exn_row_f32(exn_input_ring(model, node, 0), arena, row);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t o;
    exn_map(linear->weights, linear->biases, ring->channels, x, linear->inputs, out);
    for (o = 0; o < ring->channels; o++) {
        out[o] = exn_limit(out[o], linear->low, linear->high);
    }
}
