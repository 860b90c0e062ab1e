/* The maximum or the average of each cell of a grid. A row of the input may lie in two rows of
 * cells. Kept: a number for every cell of the rows under way, cell after cell, channel after
 * channel.
 */
#include "exn_f32.h"

static uint32_t begin_of(uint32_t cell, uint32_t size, uint32_t count)
{
    return cell * size / count;
}

static uint32_t end_of(uint32_t cell, uint32_t size, uint32_t count)
{
    return ((cell + 1) * size + count - 1) / count;
}

static float *totals_of(const exn_model *model, const exn_node *node, uint8_t *arena,
                        uint32_t cell)
{
    const exn_grid_pool_f32 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    return (float *)(void *)(arena + node->kept) +
           cell % pool->under_way * pool->across * ring->channels;
}

/* Takes a row of one part, `pitch` from pixel to pixel, into one row of cells. */
static void add(const exn_grid_pool_f32 *pool, const float *row, uint32_t pitch, uint32_t width,
                uint32_t part_channels, int begins, float *totals, uint32_t channels)
{
    uint32_t cell, x, c;
    for (cell = 0; cell < pool->across; cell++, totals += channels) {
        uint32_t left = begin_of(cell, width, pool->across);
        uint32_t right = end_of(cell, width, pool->across);
        for (c = 0; c < part_channels && begins; c++) {
            totals[c] = pool->average ? 0.0f : row[left * pitch + c];
        }
        for (x = left; x < right; x++) {
            const float *pixel = row + x * pitch;
            for (c = 0; c < part_channels; c++) {
                if (pool->average) {
                    totals[c] += pixel[c];
                } else if (pixel[c] > totals[c]) {
                    totals[c] = pixel[c];
                }
            }
        }
    }
}

void exn_grid_pool_f32_take(const exn_model *model, const exn_node *node, uint8_t *arena,
                            uint32_t row)
{
    const exn_grid_pool_f32 *pool = node->spec;
    uint32_t channels = exn_output_ring(model, node)->channels, k, cell, at = 0;
    for (k = 0; k < node->part_count[0]; k++) {
        const exn_part *part = exn_parts_of(node, 0) + k;
        const exn_ring *in = &model->rings[part->ring];
        const float *pixels = exn_pixel_f32(model, part, arena, row, 0);
        for (cell = 0; cell < pool->down; cell++) {
            uint32_t top = begin_of(cell, in->height, pool->down);
            if (row >= top && row < end_of(cell, in->height, pool->down)) {
                add(pool, pixels, in->channels, in->width, part->channels, row == top,
                    totals_of(model, node, arena, cell) + at, channels);
            }
        }
        at += part->channels;
    }
}

void exn_grid_pool_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                            uint32_t row)
{
    const exn_grid_pool_f32 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const exn_ring *in = exn_input_ring(model, node, 0);
    const float *totals = totals_of(model, node, arena, row);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t height = end_of(row, in->height, pool->down) - begin_of(row, in->height, pool->down);
    uint32_t cell, c;
    for (cell = 0; cell < pool->across; cell++) {
        uint32_t width = end_of(cell, in->width, pool->across) -
                         begin_of(cell, in->width, pool->across);
        float count = pool->average ? (float)(height * width) : 1.0f;
        for (c = 0; c < ring->channels; c++) {
            *out++ = *totals++ / count;
        }
    }
}
