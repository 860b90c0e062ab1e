#include "exn_s8.h"

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* The window of one output pixel, as far as it lies on the map. */
typedef struct area {
    int32_t top, bottom, left, right;
    int32_t count;  /* of pixels that an average divides by */
} area;

static area find(const exn_pool_s8 *pool, const exn_ring *in, uint32_t row, uint32_t x)
{
    const exn_window *window = &pool->window;
    area found;
    int32_t bottom, right;
    found.top = (int32_t)row * window->stride_y - window->top;
    found.left = (int32_t)x * window->stride_x - window->left;
    bottom = smaller(found.top + window->height, in->height + window->top);
    right = smaller(found.left + window->width, in->width + window->left);
    found.count = (bottom - found.top) * (right - found.left);
    found.top = larger(found.top, 0);
    found.left = larger(found.left, 0);
    found.bottom = smaller(bottom, in->height);
    found.right = smaller(right, in->width);
    if (!pool->count_padding) {
        found.count = (found.bottom - found.top) * (found.right - found.left);
    }
    return found;
}

static int8_t pooled(const exn_pool_s8 *pool, const exn_ring *in, uint8_t *arena,
                     const area *window, uint32_t channel)
{
    int32_t best = INT8_MIN, sum = 0, y, x;
    for (y = window->top; y < window->bottom; y++) {
        const int8_t *pixels = (const int8_t *)exn_place(in, arena, (uint32_t)y) + channel;
        for (x = window->left; x < window->right; x++) {
            int32_t value = pixels[(uint32_t)x * in->channels];
            best = larger(best, value);
            sum += value - pool->zero;
        }
    }
    return (int8_t)(pool->average ? exn_divide(sum, window->count) + pool->zero : best);
}

void exn_pool_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_pool_s8 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t x, c, k;
    for (x = 0; x < ring->width; x++) {
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            const exn_ring *in = &model->rings[part->ring];
            area window = find(pool, in, row, x);
            for (c = 0; c < part->channels; c++) {
                *out++ = pooled(pool, in, arena, &window, part->first + c);
            }
        }
    }
}
