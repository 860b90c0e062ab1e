/* Some rows, columns and channels of a map, in another place: padding and slicing. */
#include "exn_s8.h"

void exn_move_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_move_s8 *move = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    int32_t y = move->top + (int32_t)row * move->step_y, x = move->left;
    uint32_t column, c, k;
    for (column = 0; column < ring->width; column++, x += move->step_x, out += ring->channels) {
        uint32_t at = move->before;
        for (c = 0; c < ring->channels; c++) {
            out[c] = move->zero;
        }
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            const int8_t *pixel;
            if (y < 0 || y >= in->height || x < 0 || x >= in->width) {
                continue;
            }
            pixel = (const int8_t *)exn_place(in, arena, (uint32_t)y) +
                    (uint32_t)x * in->channels + part->first;
            for (c = 0; c < part->channels; c++) {
                out[at++] = pixel[c];
            }
        }
    }
}
