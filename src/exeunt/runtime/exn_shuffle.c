#include <string.h>

#include "exn_access.h"
#include "exn_move.h"

/* Channels in another order, or some of them. */
void exn_shuffle_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_shuffle *shuffle = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    uint8_t *out = exn_place(ring, arena, row);
    uint32_t bytes = shuffle->number_bytes, x, c, k;
    for (x = 0; x < ring->width; x++, out += ring->channels * bytes) {
        const uint16_t *to = shuffle->to;
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            const uint8_t *number =
                exn_place(in, arena, row) + (x * in->channels + part->first) * bytes;
            for (c = 0; c < part->channels; c++, to++, number += bytes) {
                if (*to < ring->channels) {
                    memcpy(out + *to * bytes, number, bytes);
                }
            }
        }
    }
}
