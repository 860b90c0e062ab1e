/* Walks over the channels of a pixel, part after part, whatever the type of number.
 *
 * A map of one row, of one column, or of one channel, stands for all rows, columns, or channels.
 */
#ifndef EXN_WALK_H
#define EXN_WALK_H

#include "exn_access.h"

typedef struct exn_walk {
    const exn_part *part;
    const uint8_t *at;
    uint32_t left;  /* channels of this part */
    uint32_t row, x, bytes;
    uint32_t spread;  /* whether one channel stands for all */
} exn_walk;

EXN_INLINE void exn_enter(exn_walk *walk, const exn_part *part, const exn_model *model,
                          uint8_t *arena)
{
    const exn_ring *in = &model->rings[part->ring];
    uint32_t x = in->width == 1 ? 0 : walk->x;
    walk->part = part;
    walk->at = exn_place(in, arena, in->height == 1 ? 0 : walk->row) +
               (x * in->channels + part->first) * walk->bytes;
    walk->left = part->channels;
}

/* From the first channel of a pixel of an input, whose numbers have so many bytes. */
EXN_INLINE exn_walk exn_walk_along(const exn_model *model, const exn_node *node, int input,
                                   uint8_t *arena, uint32_t row, uint32_t x, uint32_t bytes)
{
    const exn_part *part = exn_parts_of(node, input);
    exn_walk walk;
    walk.spread = node->part_count[input] == 1 && part->channels == 1 &&
                  exn_output_ring(model, node)->channels > 1;
    walk.row = row;
    walk.x = x;
    walk.bytes = bytes;
    exn_enter(&walk, part, model, arena);
    return walk;
}

/* How many channels of both lie side by side now. */
EXN_INLINE uint32_t exn_both(exn_walk *a, exn_walk *b, const exn_model *model, uint8_t *arena)
{
    if (a->left == 0) {
        exn_enter(a, a->part + 1, model, arena);
    }
    if (b->left == 0) {
        exn_enter(b, b->part + 1, model, arena);
    }
    return a->left < b->left ? a->left : b->left;
}

EXN_INLINE void exn_advance(exn_walk *walk, uint32_t channels)
{
    if (!walk->spread) {
        walk->at += channels * walk->bytes;
        walk->left -= channels;
    }
}

#endif
