/* Where rows lie. */
#ifndef EXN_ACCESS_H
#define EXN_ACCESS_H

#include "exn.h"

#if defined(__GNUC__)
#define EXN_INLINE static inline __attribute__((always_inline, unused))
#define EXN_APART __attribute__((noinline)) /* what it needs of the stack is not its caller's */
#define EXN_UNUSED __attribute__((unused))
#else
#define EXN_INLINE static inline
#define EXN_APART
#endif

EXN_INLINE uint8_t *exn_place(const exn_ring *ring, uint8_t *arena, uint32_t row)
{
    return arena + ring->places[row % ring->slots];
}

/* A row that padding may have moved out of the map: then NULL. */
EXN_INLINE uint8_t *exn_place_within(const exn_ring *ring, uint8_t *arena, int32_t row)
{
    return row < 0 || row >= ring->height ? NULL : exn_place(ring, arena, (uint32_t)row);
}

EXN_INLINE const exn_ring *exn_output_ring(const exn_model *model, const exn_node *node)
{
    return &model->rings[node->output];
}

/* The first part of an input. */
EXN_INLINE const exn_part *exn_parts_of(const exn_node *node, int input)
{
    return node->parts + (input ? node->part_count[0] : 0);
}

EXN_INLINE const exn_ring *exn_input_ring(const exn_model *model, const exn_node *node, int input)
{
    return &model->rings[exn_parts_of(node, input)->ring];
}

/* What a node has of its own while it makes a row. */
EXN_INLINE uint8_t *exn_scratch(const exn_node *node, uint8_t *arena, uint32_t row)
{
    return arena + node->scratch[row % node->slots];
}

EXN_INLINE uint8_t *exn_output_row(const exn_model *model, const exn_node *node, uint8_t *arena,
                                   uint32_t row)
{
    return exn_place(exn_output_ring(model, node), arena, row);
}

EXN_INLINE uint8_t *exn_input_row(const exn_model *model, const exn_node *node, int input,
                                  uint8_t *arena, uint32_t row)
{
    return exn_place(exn_input_ring(model, node, input), arena, row);
}

#endif
