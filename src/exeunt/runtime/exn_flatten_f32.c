#include "exn_f32.h"

/* A map as a vector, channel after channel. */
void exn_flatten_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                          uint32_t row)
{
    const exn_ring *in = exn_input_ring(model, node, 0);
    float *out = exn_row_f32(exn_output_ring(model, node), arena, row);
    uint32_t area = (uint32_t)in->height * in->width, y, x, c, k;
    for (k = 0; k < node->part_count[0]; k++) {
        const exn_part *part = exn_parts_of(node, 0) + k;
        for (y = 0; y < in->height; y++) {
            for (x = 0; x < in->width; x++) {
                const float *pixel = exn_pixel_f32(model, part, arena, y, x);
                for (c = 0; c < part->channels; c++) {
                    out[c * area + y * in->width + x] = pixel[c];
                }
            }
        }
        out += part->channels * area;
    }
}
