#include "exn_f32.h"

/* Walks over the channels of a pixel, part after part. */
typedef struct walk {
    const exn_part *part;
    const float *at;
    uint32_t left;  /* channels of this part */
} walk;

static void enter(walk *w, const exn_part *part, const exn_model *model, uint8_t *arena,
                  uint32_t row, uint32_t x)
{
    w->part = part;
    w->at = exn_pixel_f32(model, part, arena, row, x);
    w->left = part->channels;
}

static void advance(walk *w, uint32_t channels)
{
    w->at += channels;
    w->left -= channels;
}

void exn_sum_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_sum_f32 *sum = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, c, n, i;
    for (x = 0; x < ring->width; x++) {
        walk a, b;
        enter(&a, exn_parts_of(node, 0), model, arena, row, x);
        enter(&b, exn_parts_of(node, 1), model, arena, row, x);
        for (c = 0; c < ring->channels; c += n) {
            if (a.left == 0) {
                enter(&a, a.part + 1, model, arena, row, x);
            }
            if (b.left == 0) {
                enter(&b, b.part + 1, model, arena, row, x);
            }
            n = a.left < b.left ? a.left : b.left;
            for (i = 0; i < n; i++) {
                float value = sum->by_a * a.at[i] + sum->by_b * b.at[i];
                *out++ = exn_limit(value, sum->low, sum->high);
            }
            advance(&a, n);
            advance(&b, n);
        }
    }
}
