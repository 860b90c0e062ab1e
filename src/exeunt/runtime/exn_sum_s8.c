#include "exn_s8.h"
#include "exn_walk.h"

void exn_sum_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_sum_s8 *sum = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t x, c, n;
    for (x = 0; x < ring->width; x++) {
        exn_walk a = exn_walk_along(model, node, 0, arena, row, x, sizeof *out);
        exn_walk b = exn_walk_along(model, node, 1, arena, row, x, sizeof *out);
        for (c = 0; c < ring->channels; c += n) {
            n = exn_both(&a, &b, model, arena);
            exn_sum(sum, (const int8_t *)a.at, (const int8_t *)b.at, n, out);
            out += n;
            exn_advance(&a, n);
            exn_advance(&b, n);
        }
    }
}
