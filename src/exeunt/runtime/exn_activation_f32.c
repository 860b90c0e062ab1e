#include "exn_exp_f32.h"
#include "exn_f32.h"

static float activated(uint8_t function, float x)
{
    switch (function) {
    case EXN_RELU:
        return x > 0.0f ? x : 0.0f;
    case EXN_RELU6:
        return exn_limit(x, 0.0f, 6.0f);
    case EXN_SIGMOID:
        return exn_sigmoid(x);
    case EXN_TANH:
        return exn_tanh(x);
    case EXN_SILU:
        return x * exn_sigmoid(x);
    case EXN_HARDSWISH:
        return x * exn_limit(x + 3.0f, 0.0f, 6.0f) / 6.0f;
    default: /* EXN_HARDSIGMOID */
        return exn_limit(x + 3.0f, 0.0f, 6.0f) / 6.0f;
    }
}

void exn_activation_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                             uint32_t row)
{
    const exn_activation_f32 *activation = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const float *pixel = exn_pixel_f32(model, part, arena, row, x);
            for (c = 0; c < part->channels; c++) {
                *out++ = activated(activation->function, pixel[c]);
            }
        }
    }
}
