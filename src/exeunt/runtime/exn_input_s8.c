#include "exn_s8.h"

/* Three channels, as most images have; what is written may be what is read. */
static void read_colours(const exn_byte_table *table, const uint8_t *pixels, uint8_t *row,
                         uint32_t width)
{
    const uint8_t *end = pixels + 3 * width;
    for (; pixels < end; pixels += 3, row += 3) {
        uint8_t a = (uint8_t)table[0][pixels[0]], b = (uint8_t)table[1][pixels[1]];
        uint8_t c = (uint8_t)table[2][pixels[2]];
        row[0] = a;
        row[1] = b;
        row[2] = c;
    }
}

void exn_read_row_s8(const exn_model *model, const uint8_t *pixels, uint8_t *row)
{
    const exn_byte_table *table = ((const exn_input_s8 *)model->input)->table;
    const exn_ring *ring = &model->rings[model->image];
    uint32_t width = ring->width, channels = ring->channels, x, c;
    if (channels == 3) {
        read_colours(table, pixels, row, width);
        return;
    }
    for (x = 0; x < width; x++) {
        for (c = 0; c < channels; c++) {
            *row++ = (uint8_t)table[c][*pixels++];
        }
    }
}
