#include "exn_f32.h"

static float *sums_of(const exn_node *node, uint8_t *arena)
{
    return (float *)(void *)(arena + node->kept);
}

void exn_average_f32_take(const exn_model *model, const exn_node *node, uint8_t *arena,
                          uint32_t row)
{
    const exn_part *part = exn_parts_of(node, 0);
    const exn_part *end = part + node->part_count[0];
    float *sums = sums_of(node, arena);
    for (; part < end; part++) {
        const exn_ring *in = &model->rings[part->ring];
        const float *pixel = exn_row_f32(in, arena, row) + part->first;
        uint32_t x, c;
        if (row == 0) {
            for (c = 0; c < part->channels; c++) {
                sums[c] = 0.0f;
            }
        }
        for (x = 0; x < in->width; x++, pixel += in->channels) {
            for (c = 0; c < part->channels; c++) {
                sums[c] += pixel[c];
            }
        }
        sums += part->channels;
    }
}

void exn_average_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                          uint32_t row)
{
    const exn_ring *ring = exn_output_ring(model, node);
    const exn_ring *in = exn_input_ring(model, node, 0);
    const float *sums = sums_of(node, arena);
    float *out = exn_row_f32(ring, arena, row);
    float pixels = (float)(in->height * in->width);
    uint32_t c;
    for (c = 0; c < ring->channels; c++) {
        out[c] = sums[c] / pixels;
    }
}
