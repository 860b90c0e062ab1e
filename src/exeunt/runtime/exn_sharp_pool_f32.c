/* Pixels of a window, each as many times as exp of it, times a sharpness, says. */
#include "exn_exp_f32.h"
#include "exn_f32.h"

static float pooled(const exn_model *model, const exn_part *part, uint8_t *arena,
                    const exn_area *window, uint32_t channel, float sharpness)
{
    float most = 0.0f, total = 0.0f, sum = 0.0f;
    int32_t y, x;
    for (y = window->top; y < window->bottom; y++) {
        for (x = window->left; x < window->right; x++) {
            float value = exn_pixel_f32(model, part, arena, (uint32_t)y, (uint32_t)x)[channel];
            int first = y == window->top && x == window->left;
            most = first || value > most ? value : most;
        }
    }
    for (y = window->top; y < window->bottom; y++) {
        for (x = window->left; x < window->right; x++) {
            float value = exn_pixel_f32(model, part, arena, (uint32_t)y, (uint32_t)x)[channel];
            float share = exn_exp(sharpness * (value - most));
            total += share;
            sum += share * value;
        }
    }
    return sum / total;
}

void exn_sharp_pool_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                             uint32_t row)
{
    const exn_sharp_pool_f32 *pool = node->spec;
    const exn_ring *ring = exn_output_ring(model, node);
    const float *sharpness = exn_pixel_f32(model, exn_parts_of(node, 1), arena, 0, 0);
    float *out = exn_row_f32(ring, arena, row);
    uint32_t x, k, c;
    for (x = 0; x < ring->width; x++) {
        const float *mine = sharpness;
        for (k = 0; k < node->part_count[0]; k++) {
            const exn_part *part = exn_parts_of(node, 0) + k;
            exn_area window = exn_area_of(&pool->window, 0, &model->rings[part->ring], row, x);
            for (c = 0; c < part->channels; c++) {
                *out++ = pooled(model, part, arena, &window, c, *mine++);
            }
        }
    }
}
