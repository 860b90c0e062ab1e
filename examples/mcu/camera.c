/* A camera that gives one row at a time, and a network that takes each as it comes.
 *
 * No image is ever stored: the camera writes a row where the network is going to read it. Replace
 * `camera_read_row` by your sensor's; everything else is as it would be in firmware.
 */
#include "net.h"

#include <stdio.h>

static union {
    uint32_t align;
    uint8_t bytes[NET_ARENA_BYTES];
} arena;
static exn_state state;

/* A bright disc on a dark ground, one row of it. */
static void camera_read_row(unsigned y, uint8_t *row)
{
    unsigned x, c;
    for (x = 0; x < NET_WIDTH; x++) {
        int dx = (int)(2 * x) - NET_WIDTH, dy = (int)(2 * y) - NET_HEIGHT;
        int inside = dx * dx + dy * dy < NET_WIDTH * NET_WIDTH / 4;
        for (c = 0; c < NET_CHANNELS; c++) {
            *row++ = (uint8_t)(inside ? 220 : 30);
        }
    }
}

int main(void)
{
    const exn_result *result;
    unsigned y = 0;
    int status = net_init(&state, arena.bytes, sizeof arena.bytes);
    while (status == EXN_ROW || (status == EXN_EXIT && !net_result(&state)->leave)) {
        uint8_t *row = exn_row_place(&state);
        if (row == NULL) {
            status = net_step(&state);
        } else {
            camera_read_row(y++, row);
            status = net_push_row(&state, row);
        }
    }
    if (status != EXN_EXIT) {
        fprintf(stderr, "%s\n", exn_status_text(status));
        return 1;
    }
    result = net_result(&state);
    printf("%s, at exit %d of %d, in %d bytes\n", net_class_names[result->class_index],
           result->exit_index + 1, NET_EXITS, NET_ARENA_BYTES);
    return 0;
}
