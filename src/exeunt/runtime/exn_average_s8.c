#include "exn_s8.h"

static int32_t *sums_of(const exn_node *node, uint8_t *arena)
{
    return (int32_t *)(void *)(arena + node->kept);
}

void exn_average_s8_take(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row)
{
    const exn_part *part = exn_parts_of(node, 0);
    const exn_part *end = part + node->part_count[0];
    int32_t *sums = sums_of(node, arena);
    for (; part < end; part++) {
        const exn_ring *in = &model->rings[part->ring];
        const int8_t *pixel = (const int8_t *)exn_place(in, arena, row) + part->first;
        uint32_t x, c;
        if (row == 0) {
            for (c = 0; c < part->channels; c++) {
                sums[c] = 0;
            }
        }
        for (x = 0; x < in->width; x++, pixel += in->channels) {
            for (c = 0; c + 4 <= part->channels; c += 4) {
                sums[c] += pixel[c];
                sums[c + 1] += pixel[c + 1];
                sums[c + 2] += pixel[c + 2];
                sums[c + 3] += pixel[c + 3];
            }
            for (; c < part->channels; c++) {
                sums[c] += pixel[c];
            }
        }
        sums += part->channels;
    }
}

void exn_average_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row)
{
    const exn_average_s8 *average = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const exn_ring *in = exn_input_ring(model, node, 0);
    const int32_t *sums = sums_of(node, arena);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    int32_t zeros = in->height * in->width * average->zero_in;
    uint32_t c;
    for (c = 0; c < ring->channels; c++) {
        int32_t value = exn_scale(sums[c] - zeros, average->factor) + average->zero_out;
        out[c] = (int8_t)exn_clamp(value, INT8_MIN, INT8_MAX);
    }
}
