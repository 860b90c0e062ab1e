/* What each operator takes of one raw image that lies on the host: the argument is its file.
 *
 * A line for each node tells the ticks of all of its rows; the last is for taking in the image.
 * NODES says how many there are.
 */
#include "@prefix@.h"
#include "device.h"
#include "semihosting.h"

enum { ROW_BYTES = @PREFIX@_WIDTH * @PREFIX@_CHANNELS };

static union {
    uint32_t align;
    uint8_t bytes[@PREFIX@_ARENA_BYTES];
} arena;
static exn_state state;
static uint32_t ticks[NODES + 1];

static int carry_out(const exn_event *event, intptr_t file)
{
    const exn_model *model = state.model;
    const exn_ring *ring = &model->rings[model->image];
    uint8_t *row = arena.bytes + ring->places[event->row % ring->slots];
    uint32_t number = event->node & EXN_IMAGE, since;
    const exn_node *node = &model->nodes[number];
    if (event->node == EXN_IMAGE && !host_read(file, row, ROW_BYTES)) {
        return 0;
    }
    since = device_ticks();
    if (event->node == EXN_IMAGE) {
        model->read_row(model, row, row);
        number = NODES;
    } else {
        (event->node & EXN_TAKE ? node->take : node->make)(model, node, arena.bytes, event->row);
    }
    ticks[number] += device_ticks() - since;
    return 1;
}

int main(void)
{
    char words[256];
    uint32_t end, k;
    char *path;
    intptr_t file;
    if (!host_words(words, sizeof words)) {
        return 3;
    }
    path = host_next_word(words);
    host_next_word(path);
    file = host_open(path);
    if (file < 0) {
        return 4;
    }
    if (@prefix@_init(&state, arena.bytes, sizeof arena.bytes) != EXN_ROW) {
        return 2;
    }
    end = state.model->stage_ends[@PREFIX@_EXITS - 1];
    for (; state.event < end; state.event++) {
        if (!carry_out(&state.model->events[state.event], file)) {
            return 1;
        }
    }
    for (k = 0; k <= NODES; k++) {
        host_print("node");
        host_print_number(ticks[k]);
        host_print("\n");
    }
    return 0;
}
