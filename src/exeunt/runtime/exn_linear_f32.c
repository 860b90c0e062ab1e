#include "exn_f32.h"

/* All numbers of the input, pixel after pixel; gathered in the scratch where they lie in parts, or
 * in several rows. */
static const float *find(const exn_model *model, const exn_node *node, uint8_t *arena)
{
    const exn_ring *in = exn_input_ring(model, node, 0);
    float *to = (float *)(void *)exn_scratch(node, arena, 0);
    uint32_t y, x, k, c;
    if (in->height == 1 && node->part_count[0] == 1 &&
        exn_parts_of(node, 0)->channels == in->channels) {
        return exn_row_f32(in, arena, 0);
    }
    for (y = 0; y < in->height; y++) {
        for (x = 0; x < in->width; x++) {
            for (k = 0; k < node->part_count[0]; k++) {
                const exn_part *part = exn_parts_of(node, 0) + k;
                const float *pixel = exn_pixel_f32(model, part, arena, y, x);
                for (c = 0; c < part->channels; c++) {
                    *to++ = pixel[c];
                }
            }
        }
    }
    return (const float *)(const void *)exn_scratch(node, arena, 0);
}

void exn_linear_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row)
{
    const exn_linear_f32 *linear = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const float *x = find(model, node, arena);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t o;
    exn_map(linear->weights, linear->biases, ring->channels, x, linear->inputs, out);
    for (o = 0; o < ring->channels; o++) {
        out[o] = exn_limit(out[o], linear->low, linear->high);
    }
}
