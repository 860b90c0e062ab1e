#include <string.h>

#include "exn_access.h"
#include "exn_move.h"

/* Rows and columns of a map where others lie. */
void exn_lines_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_lines *lines = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    uint8_t *out = exn_place(ring, arena, row);
    uint32_t bytes = lines->number_bytes, x, k;
    for (x = 0; x < ring->width; x++) {
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            uint32_t at = ((uint32_t)lines->across[x] * in->channels + part->first) * bytes;
            memcpy(out, exn_place(in, arena, lines->down[row]) + at, part->channels * bytes);
            out += part->channels * bytes;
        }
    }
}
