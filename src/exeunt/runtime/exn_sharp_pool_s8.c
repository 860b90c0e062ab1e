/* Pixels of a window, each as many times as exp of it, times a sharpness, says. */
#include "exn_halving.h"
#include "exn_s8.h"

enum { SHARE_BITS = 15 };

/* 2^(-halvings / 256), 2^15 being 1. */
static uint32_t share_of(uint64_t halvings)
{
    uint32_t whole = halvings >> 8 > SHARE_BITS ? SHARE_BITS + 1 : (uint32_t)(halvings >> 8);
    return exn_halving[halvings & 255] >> (EXN_HALVING_BITS - SHARE_BITS + whole);
}

static int32_t pooled(const exn_ring *in, uint8_t *arena, const exn_area *window, uint32_t channel,
                      uint64_t sharpness)
{
    uint32_t total = 0, sum = 0;
    int32_t most = INT8_MIN, y, x;
    for (y = window->top; y < window->bottom; y++) {
        const int8_t *pixels = (const int8_t *)exn_place(in, arena, (uint32_t)y) + channel;
        for (x = window->left; x < window->right; x++) {
            most = exn_larger(most, pixels[(uint32_t)x * in->channels]);
        }
    }
    for (y = window->top; y < window->bottom; y++) {
        const int8_t *pixels = (const int8_t *)exn_place(in, arena, (uint32_t)y) + channel;
        for (x = window->left; x < window->right; x++) {
            uint32_t below = (uint32_t)(most - pixels[(uint32_t)x * in->channels]);
            uint32_t share = share_of((below * sharpness) >> 16);
            total += share;
            sum += share * below;
        }
    }
    return most - (int32_t)((sum + total / 2) / total);
}

void exn_sharp_pool_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                            uint32_t row)
{
    const exn_sharp_pool_s8 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const exn_part *sharp = exn_parts_of(node, 1);
    const int8_t *sharpness = (const int8_t *)exn_input_row(model, node, 1, arena, 0) + sharp->first;
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t x, k, c;
    for (x = 0; x < ring->width; x++) {
        const int8_t *mine = sharpness;
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            exn_area window = exn_area_of(&pool->window, 0, in, row, x);
            for (c = 0; c < part->channels; c++) {
                int32_t steps = exn_larger(*mine++ - pool->zero, 0);
                uint64_t softness = (uint64_t)pool->softness * (uint32_t)steps;
                *out++ = (int8_t)pooled(in, arena, &window, part->first + c, softness);
            }
        }
    }
}
