/* ReNet: columns of patches are swept down and up, then rows of what those say, right and left.
 *
 * Rows come one at a time. Of a patch that is complete the sweep down makes its state at once; the
 * one up has to wait for the last row, and keeps what it is going to read of the patch until then,
 * where its state will lie: the patch's pixels, or what these add to gates, whichever is less.
 */
#include "exn_cells_s8.h"

#include <string.h>

enum { MAX_GATES = 3 * EXN_STATES };

/* What is kept of a patch: the state of the sweep down, and behind it that of the sweep up. */
static int16_t *record_of(const exn_renet_s8 *renet, const exn_node *node, uint8_t *arena, uint32_t i,
                       uint32_t j)
{
    return (int16_t *)(void *)(arena + node->kept + (i * renet->across + j) * renet->record);
}

/* Where the pixels of a patch lie: in its record, or in a row of patches behind all records. */
static int8_t *pixels_of(const exn_renet_s8 *renet, const exn_node *node, uint8_t *arena, uint32_t i,
                        uint32_t j)
{
    if (renet->keeps_pixels) {
        return (int8_t *)(void *)(record_of(renet, node, arena, i, j) + renet->columns->hidden);
    }
    return (int8_t *)(void *)record_of(renet, node, arena, renet->down, 0) + j * renet->patch;
}

/* What a patch adds to a gate, in 2048ths, as it is kept. */
static int16_t narrow(int32_t gate)
{
    return (int16_t)exn_int16(gate >> 1);
}

static void narrow_all(int32_t *gates, uint32_t count)
{
    uint32_t k;
    for (k = 0; k < count; k++) {
        gates[k] = 2 * narrow(gates[k]);
    }
}

/* Goes on from the state of the patch before in a sweep, NULL for none, to that of a patch. */
static void go_on(const exn_renet_s8 *renet, uint32_t way, const int32_t *gates, const int16_t *before,
                  int16_t *state)
{
    uint32_t i, hidden = renet->columns->hidden;
    for (i = 0; i < hidden; i++) {
        state[i] = before == NULL ? 0 : before[i];
    }
    renet->kind->step(&renet->columns[way], gates, state);
}

/* Takes in a patch that is complete. */
static void take_patch(const exn_renet_s8 *renet, const exn_node *node, uint8_t *arena, uint32_t i,
                       uint32_t j)
{
    const int8_t *pixels = pixels_of(renet, node, arena, i, j);
    int16_t *record = record_of(renet, node, arena, i, j);
    uint32_t hidden = renet->columns->hidden, k;
    int32_t gates[MAX_GATES];
    renet->kind->take_pixel(&renet->columns[0], pixels, gates);
    narrow_all(gates, 3 * hidden);
    go_on(renet, 0, gates, i > 0 ? record_of(renet, node, arena, i - 1, j) : NULL, record);
    if (!renet->keeps_pixels) {
        renet->kind->take_pixel(&renet->columns[1], pixels, gates);
        for (k = 0; k < 3 * hidden; k++) {
            record[hidden + k] = narrow(gates[k]);
        }
    }
}

void exn_renet_s8_take(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_renet_s8 *renet = node->spec;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const int8_t *pixel = (const void *)exn_place(in, arena, row);
    uint32_t i = (row + renet->top) / renet->height, y = (row + renet->top) % renet->height;
    uint32_t x, j;
    for (j = 0; j < renet->across && (row == 0 || y == 0); j++) {
        memset(pixels_of(renet, node, arena, i, j), renet->zero_in, renet->patch);
    }
    for (x = 0; x < in->width; x++, pixel += in->channels) {
        uint32_t column = x + renet->left;
        int8_t *patch = pixels_of(renet, node, arena, i, column / renet->width);
        patch += (y * renet->width + column % renet->width) * in->channels;
        memcpy(patch, pixel, in->channels * sizeof *patch);
    }
    for (j = 0; j < renet->across && (y + 1 == renet->height || row + 1 == in->height); j++) {
        take_patch(renet, node, arena, i, j);
    }
}

/* Sweeps a column up, from its last patch. */
static void sweep_up(const exn_renet_s8 *renet, const exn_node *node, uint8_t *arena, uint32_t j)
{
    uint32_t i, hidden = renet->columns->hidden, k;
    const int16_t *before = NULL;
    for (i = renet->down; i-- > 0;) {
        int16_t *state = record_of(renet, node, arena, i, j) + hidden;
        int32_t gates[MAX_GATES];
        if (renet->keeps_pixels) {
            renet->kind->take_pixel(&renet->columns[1], (const int8_t *)(const void *)state, gates);
            narrow_all(gates, 3 * hidden);
        } else {
            for (k = 0; k < 3 * hidden; k++) {
                gates[k] = 2 * state[k];
            }
        }
        go_on(renet, 1, gates, before, state);
        before = state;
    }
}

void exn_renet_s8_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_renet_s8 *renet = node->spec;
    int8_t *out = (int8_t *)(void *)exn_output_row(model, node, arena, row);
    uint32_t hidden = renet->rows->hidden, way, t, k;
    for (t = 0; t < renet->across && row == 0; t++) {
        sweep_up(renet, node, arena, t);
    }
    for (way = 0; way < 2; way++) {
        const exn_cell_s8 *cell = &renet->rows[way];
        EXN_WORDS int16_t state[EXN_STATES];
        memset(state, 0, sizeof state);
        for (t = 0; t < renet->across; t++) {
            uint32_t j = way ? renet->across - 1u - t : t;
            int8_t *pixel = out + (2 * j + way) * hidden;
            int32_t gates[MAX_GATES];
            const exn_row *to = renet->states + way * hidden;
            renet->kind->take_state(cell, record_of(renet, node, arena, row, j), gates);
            renet->kind->step(cell, gates, state);
            for (k = 0; k < hidden; k++) {
                pixel[k] = (int8_t)exn_int8(exn_scale_next(&to, state[k], renet->zero));
            }
        }
    }
}
