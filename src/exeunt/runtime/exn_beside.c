#include <string.h>

#include "exn_access.h"
#include "exn_move.h"

/* Bands of a map beside each other, by columns. */
void exn_beside_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_beside *beside = node->spec;
    uint8_t *out = exn_output_row(model, node, arena, row);
    uint32_t k;
    for (k = 0; k < node->part_count[0]; k++) {
        const exn_ring *in = &model->rings[exn_parts_of(node, 0)[k].ring];
        uint32_t bytes = (uint32_t)in->width * in->channels * beside->number_bytes;
        memcpy(out, exn_place(in, arena, row), bytes);
        out += bytes;
    }
}
