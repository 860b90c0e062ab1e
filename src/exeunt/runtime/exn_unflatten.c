#include <string.h>

#include "exn_access.h"
#include "exn_move.h"

/* A vector as a map, channel after channel. */
void exn_unflatten_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_unflatten *unflatten = node->spec;
    const exn_ring *map = exn_output_ring(model, node);
    uint8_t *out = exn_place(map, arena, row);
    uint32_t bytes = unflatten->number_bytes, channel = 0, y = 0, x = 0, k, i;
    for (k = 0; k < node->part_count[0]; k++) {
        const exn_part *part = exn_parts_of(node, 0) + k;
        const uint8_t *number = exn_place(&model->rings[part->ring], arena, 0) + part->first * bytes;
        for (i = 0; i < part->channels; i++, number += bytes) {
            if (y == row) {
                memcpy(out + (x * map->channels + channel) * bytes, number, bytes);
            }
            if (++x == map->width) {
                x = 0;
                if (++y == map->height) {
                    y = 0;
                    channel++;
                }
            }
        }
    }
}
