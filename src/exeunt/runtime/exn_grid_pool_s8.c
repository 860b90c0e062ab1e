/* The maximum or the average of each cell of a grid. A row of the input may lie in two rows of
 * cells. Kept: a number for every cell of the rows under way, cell after cell, channel after
 * channel.
 */
#include "exn_s8.h"

static uint32_t begin_of(uint32_t cell, uint32_t size, uint32_t count)
{
    return cell * size / count;
}

static uint32_t end_of(uint32_t cell, uint32_t size, uint32_t count)
{
    return ((cell + 1) * size + count - 1) / count;
}

static int32_t *totals_of(const exn_model *model, const exn_node *node, uint8_t *arena,
                          uint32_t cell)
{
    const exn_grid_pool_s8 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    return (int32_t *)(void *)(arena + node->kept) +
           cell % pool->under_way * pool->across * ring->channels;
}

/* Takes a row of one part into one row of cells. */
static void add(const exn_grid_pool_s8 *pool, const exn_ring *in, const exn_part *part,
                const int8_t *row, int begins, int32_t *totals, uint32_t channels)
{
    uint32_t cell, x, c;
    for (cell = 0; cell < pool->across; cell++, totals += channels) {
        uint32_t left = begin_of(cell, in->width, pool->across);
        uint32_t right = end_of(cell, in->width, pool->across);
        for (c = 0; c < part->channels; c++) {
            int32_t total = begins ? (pool->average ? 0 : INT8_MIN) : totals[c];
            for (x = left; x < right; x++) {
                int32_t value = row[x * in->channels + part->first + c];
                if (pool->average) {
                    total += value - pool->zero;
                } else if (value > total) {
                    total = value;
                }
            }
            totals[c] = total;
        }
    }
}

void exn_grid_pool_s8_take(const exn_model *model, const exn_node *node, uint8_t *arena,
                           uint32_t row)
{
    const exn_grid_pool_s8 *pool = node->spec;
    uint32_t channels = exn_output_ring(model, node)->channels, k, cell, at = 0;
    for (k = 0; k < node->part_count[0]; k++) {
        const exn_part *part = exn_parts_of(node, 0) + k;
        const exn_ring *in = &model->rings[part->ring];
        const int8_t *pixels = (const int8_t *)exn_place(in, arena, row);
        for (cell = 0; cell < pool->down; cell++) {
            uint32_t top = begin_of(cell, in->height, pool->down);
            if (row >= top && row < end_of(cell, in->height, pool->down)) {
                add(pool, in, part, pixels, row == top, totals_of(model, node, arena, cell) + at,
                    channels);
            }
        }
        at += part->channels;
    }
}

void exn_grid_pool_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                           uint32_t row)
{
    const exn_grid_pool_s8 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const exn_ring *in = exn_input_ring(model, node, 0);
    const int32_t *totals = totals_of(model, node, arena, row);
    int8_t *out = (int8_t *)exn_place(ring, arena, row);
    uint32_t height = end_of(row, in->height, pool->down) - begin_of(row, in->height, pool->down);
    uint32_t cell, c;
    for (cell = 0; cell < pool->across; cell++) {
        uint32_t width = end_of(cell, in->width, pool->across) -
                         begin_of(cell, in->width, pool->across);
        for (c = 0; c < ring->channels; c++, totals++) {
            *out++ = (int8_t)(pool->average
                                  ? exn_divide(*totals, (int32_t)(height * width)) + pool->zero
                                  : *totals);
        }
    }
}
