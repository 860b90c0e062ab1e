#include "exn_filter_f32.h"

void exn_depthwise_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                            uint32_t row)
{
    const exn_depthwise_f32 *depthwise = node->spec;
    const exn_part *part = exn_parts_of(node, 0);
    const exn_ring *in = &model->rings[part->ring];
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    const float *lines[EXN_MAX_TAPS];
    int32_t x;
    exn_lines_f32(in, arena, &depthwise->window, row, part->first, lines);
    for (x = 0; x < ring->width; x++, out += ring->channels) {
        int32_t column = x * depthwise->window.stride_x - depthwise->window.left;
        exn_filter_pixel_f32(depthwise, lines, column, in->width, in->channels, part->channels,
                             out);
    }
}
