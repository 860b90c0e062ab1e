#include "group_norm.h"

/* Newton's, so that nothing of the C library is needed. */
static float root(float x)
{
    float r = x > 1.0f ? x : 1.0f;
    int k;
    for (k = 0; k < 60; k++) {
        r = 0.5f * (r + x / r);
    }
    return r;
}

/* The mean and the inverse deviation of every group, of rows that are all there. */
static void measure(const group_norm_f32 *norm, const exn_ring *in, uint8_t *arena, float *found)
{
    uint32_t size = in->channels / norm->groups, g, y, x, c, turn;
    for (g = 0; g < norm->groups; g++, found += 2) {
        float mean = 0.0f;
        for (turn = 0; turn < 2; turn++) {
            float sum = 0.0f;
            for (y = 0; y < in->height; y++) {
                const float *pixel = exn_row_f32(in, arena, y) + g * size;
                for (x = 0; x < in->width; x++, pixel += in->channels) {
                    for (c = 0; c < size; c++) {
                        float far = pixel[c] - mean;
                        sum += turn == 0 ? far : far * far;
                    }
                }
            }
            sum /= (float)(size * in->height * in->width);
            if (turn == 0) {
                mean = found[0] = sum;
            } else {
                found[1] = 1.0f / root(sum + norm->epsilon);
            }
        }
    }
}

void group_norm_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena,
                         uint32_t row)
{
    const group_norm_f32 *norm = node->spec;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const float *from = exn_row_f32(in, arena, row);
    float *found = (float *)(void *)(arena + node->kept);
    float *out = exn_row_f32(exn_output_ring(model, node), arena, row);
    uint32_t size = in->channels / norm->groups, x, c;
    if (row == 0) {
        measure(norm, in, arena, found);
    }
    for (x = 0; x < in->width; x++) {
        for (c = 0; c < in->channels; c++) {
            const float *of = found + 2 * (c / size);
            *out++ = (*from++ - of[0]) * of[1] * norm->scale[c] + norm->shift[c];
        }
    }
}
