#include "exn_s8.h"

/* Walks over the channels of a pixel, part after part. */
typedef struct walk {
    const exn_part *part;
    const int8_t *at;
    uint32_t left;  /* channels of this part */
} walk;

static void enter(walk *w, const exn_model *model, uint8_t *arena, uint32_t row, uint32_t x)
{
    const exn_ring *in = &model->rings[w->part->ring];
    w->at = (const int8_t *)exn_place(in, arena, row) + x * in->channels + w->part->first;
    w->left = w->part->channels;
}

static int8_t next(walk *w, const exn_model *model, uint8_t *arena, uint32_t row, uint32_t x)
{
    if (w->left == 0) {
        w->part++;
        enter(w, model, arena, row, x);
    }
    w->left--;
    return *w->at++;
}

void exn_sum_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_sum_s8 *sum = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t x, c;
    for (x = 0; x < ring->width; x++) {
        walk a, b;
        a.part = exn_parts_of(node, 0);
        b.part = exn_parts_of(node, 1);
        enter(&a, model, arena, row, x);
        enter(&b, model, arena, row, x);
        for (c = 0; c < ring->channels; c++) {
            int8_t first = next(&a, model, arena, row, x);
            *out++ = exn_sum(sum, first, next(&b, model, arena, row, x));
        }
    }
}
