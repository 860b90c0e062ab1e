#include <string.h>

#include "exn_access.h"
#include "exn_move.h"

/* A map as a vector, channel after channel. */
void exn_flatten_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_flatten *flatten = node->spec;
    const exn_ring *map = exn_input_ring(model, node, 0);
    uint8_t *out = exn_place(exn_output_ring(model, node), arena, row);
    uint32_t bytes = flatten->number_bytes, y, x, c, k;
    for (k = 0; k < node->part_count[0]; k++) {
        const exn_part *part = exn_parts_of(node, 0) + k;
        const exn_ring *in = &model->rings[part->ring];
        for (c = 0; c < part->channels; c++) {
            for (y = 0; y < map->height; y++) {
                const uint8_t *number = exn_place(in, arena, y) + (part->first + c) * bytes;
                for (x = 0; x < map->width; x++, number += in->channels * bytes, out += bytes) {
                    memcpy(out, number, bytes);
                }
            }
        }
    }
}
