#include "exn_f32.h"

static void add(float *totals, const float *pixel, uint32_t channels, int average)
{
    uint32_t c;
    for (c = 0; c < channels; c++) {
        if (average) {
            totals[c] += pixel[c];
        } else if (pixel[c] > totals[c]) {
            totals[c] = pixel[c];
        }
    }
}

/* One output pixel, of one part. */
static void pool_part(const exn_model *model, const exn_part *part, uint8_t *arena,
                      const exn_area *window, int average, float *out)
{
    const float *pixel =
        exn_pixel_f32(model, part, arena, (uint32_t)window->top, (uint32_t)window->left);
    int32_t y, x;
    uint32_t c;
    for (c = 0; c < part->channels; c++) {
        out[c] = average ? 0.0f : pixel[c];
    }
    for (y = window->top; y < window->bottom; y++) {
        for (x = window->left; x < window->right; x++) {
            pixel = exn_pixel_f32(model, part, arena, (uint32_t)y, (uint32_t)x);
            add(out, pixel, part->channels, average);
        }
    }
    for (c = 0; c < part->channels && average; c++) {
        out[c] /= (float)window->count;
    }
}

void exn_pool_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_pool_f32 *pool = node->spec;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const exn_ring *ring = exn_output_ring(model, node);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, k;
    for (x = 0; x < ring->width; x++) {
        exn_area window = exn_area_of(&pool->window, pool->count_padding, in, row, x);
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            pool_part(model, part, arena, &window, pool->average, out);
            out += part->channels;
        }
    }
}
