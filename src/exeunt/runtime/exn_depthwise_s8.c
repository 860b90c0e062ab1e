#include "exn_filter_s8.h"

/* A row of one part, whose weights come first in `depthwise`. */
static void filter_part(const exn_depthwise_s8 *depthwise, const exn_ring *in, uint8_t *arena,
                        const exn_part *part, uint32_t row, const exn_ring *ring, int8_t *out)
{
    const int8_t *lines[EXN_MAX_TAPS], *taps[EXN_MAX_TAPS];
    int32_t x;
    int whole;
    exn_lines_s8(in, arena, &depthwise->window, row, part->first, lines);
    whole = exn_whole_lines(lines, depthwise->window.height);
    for (x = 0; x < ring->width; x++, out += ring->channels) {
        int32_t column = x * depthwise->window.stride_x - depthwise->window.left;
        exn_next_taps_s8(depthwise, lines, whole, column, in->width, in->channels, taps);
        exn_filter_s8(depthwise, taps, 0, part->channels, out, NULL);
    }
}

void exn_depthwise_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                           uint32_t row)
{
    exn_depthwise_s8 depthwise = *(const exn_depthwise_s8 *)node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t taps = (uint32_t)depthwise.window.height * depthwise.window.width, k;
    for (k = 0; k < node->part_count[0]; k++) {
        const exn_part *part = exn_parts_of(node, 0) + k;
        filter_part(&depthwise, &model->rings[part->ring], arena, part, row, ring, out);
        depthwise.weights += exn_fours_size(part->channels) * taps;
        exn_go_on(&depthwise.requantize, part->channels);
        out += part->channels;
    }
}
