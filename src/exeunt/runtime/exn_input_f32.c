#include "exn_f32.h"

void exn_read_row_f32(const exn_model *model, const uint8_t *pixels, uint8_t *row)
{
    const exn_input_f32 *input = model->input;
    const exn_ring *ring = &model->rings[model->image];
    float *out = (float *)(void *)row;
    uint32_t x, c;
    for (x = ring->width; x-- > 0;) {
        for (c = ring->channels; c-- > 0;) {
            uint32_t at = x * ring->channels + c;
            out[at] = ((float)pixels[at] / 255.0f - input->means[c]) / input->deviations[c];
        }
    }
}
