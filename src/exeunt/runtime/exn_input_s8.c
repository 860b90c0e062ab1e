#include "exn_s8.h"

void exn_read_row_s8(const exn_model *model, const uint8_t *pixels, uint8_t *row)
{
    const exn_input_s8 *input = model->input;
    const exn_ring *ring = &model->rings[model->image];
    uint32_t x, c;
    for (x = 0; x < ring->width; x++) {
        for (c = 0; c < ring->channels; c++) {
            *row++ = (uint8_t)input->table[c][*pixels++];
        }
    }
}
