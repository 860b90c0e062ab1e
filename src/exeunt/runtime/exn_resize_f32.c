#include "exn_f32.h"

static float between(float a, float b, float share)
{
    return a * (1.0f - share) + b * share;
}

void exn_resize_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row)
{
    const exn_resize_f32 *resize = node->spec;
    const exn_between_f32 *down = &resize->down[row];
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        const exn_between_f32 *across = &resize->across[x];
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            uint32_t pitch = model->rings[part->ring].channels;
            const float *top = exn_pixel_f32(model, part, arena, down->first, 0);
            const float *bottom = exn_pixel_f32(model, part, arena, down->second, 0);
            uint32_t left = across->first * pitch, right = across->second * pitch;
            for (c = 0; c < part->channels; c++) {
                float a = between(top[left + c], bottom[left + c], down->share);
                float b = between(top[right + c], bottom[right + c], down->share);
                *out++ = between(a, b, across->share);
            }
        }
    }
}
