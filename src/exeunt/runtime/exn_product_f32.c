#include "exn_f32.h"
#include "exn_walk.h"

void exn_product_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_product_f32 *product = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, c, n, i;
    for (x = 0; x < ring->width; x++) {
        exn_walk a = exn_walk_along(model, node, 0, arena, row, x, sizeof *out);
        exn_walk b = exn_walk_along(model, node, 1, arena, row, x, sizeof *out);
        for (c = 0; c < ring->channels; c += n) {
            const float *first, *second;
            n = exn_both(&a, &b, model, arena);
            first = (const float *)(const void *)a.at;
            second = (const float *)(const void *)b.at;
            for (i = 0; i < n; i++) {
                *out++ = exn_limit(first[i] * second[i], product->low, product->high);
            }
            exn_advance(&a, n);
            exn_advance(&b, n);
        }
    }
}
