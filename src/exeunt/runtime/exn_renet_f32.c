/* ReNet: columns of patches are swept down and up, then rows of what those say, right and left.
 *
 * Rows come one at a time. Of a patch that is complete the sweep down makes its state at once; the
 * one up has to wait for the last row, and keeps what it is going to read of the patch until then,
 * where its state will lie: the patch's pixels, or what these add to gates, whichever is less.
 */
#include "exn_f32.h"

#include <string.h>

enum { MAX_GATES = 3 * EXN_MAX_HIDDEN };

/* What is kept of a patch: the state of the sweep down, and behind it that of the sweep up. */
static float *record_of(const exn_renet_f32 *renet, const exn_node *node, uint8_t *arena, uint32_t i,
                       uint32_t j)
{
    return (float *)(void *)(arena + node->kept + (i * renet->across + j) * renet->record);
}

/* Where the pixels of a patch lie: in its record, or in a row of patches behind all records. */
static float *pixels_of(const exn_renet_f32 *renet, const exn_node *node, uint8_t *arena, uint32_t i,
                        uint32_t j)
{
    if (renet->keeps_pixels) {
        return (float *)(void *)(record_of(renet, node, arena, i, j) + renet->columns->hidden);
    }
    return (float *)(void *)record_of(renet, node, arena, renet->down, 0) + j * renet->patch;
}

/* Goes on from the state of the patch before in a sweep, NULL for none, to that of a patch. */
static void go_on(const exn_renet_f32 *renet, uint32_t way, const float *gates, const float *before,
                  float *state)
{
    uint32_t i, hidden = renet->columns->hidden;
    for (i = 0; i < hidden; i++) {
        state[i] = before == NULL ? 0.0f : before[i];
    }
    renet->kind->step(&renet->columns[way], gates, state);
}

/* Takes in a patch that is complete. */
static void take_patch(const exn_renet_f32 *renet, const exn_node *node, uint8_t *arena, uint32_t i,
                       uint32_t j)
{
    const float *pixels = pixels_of(renet, node, arena, i, j);
    float *record = record_of(renet, node, arena, i, j);
    uint32_t hidden = renet->columns->hidden;
    float gates[MAX_GATES];
    renet->kind->take(&renet->columns[0], pixels, gates);
    go_on(renet, 0, gates, i > 0 ? record_of(renet, node, arena, i - 1, j) : NULL, record);
    if (!renet->keeps_pixels) {
        renet->kind->take(&renet->columns[1], pixels, gates);
        exn_copy(record + hidden, gates, 3 * hidden);
    }
}

void exn_renet_f32_take(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_renet_f32 *renet = node->spec;
    const exn_ring *in = exn_input_ring(model, node, 0);
    const float *pixel = (const void *)exn_place(in, arena, row);
    uint32_t i = (row + renet->top) / renet->height, y = (row + renet->top) % renet->height;
    uint32_t x, j;
    for (j = 0; j < renet->across && (row == 0 || y == 0); j++) {
        float *patch = pixels_of(renet, node, arena, i, j);
        for (x = 0; x < renet->patch; x++) {
            patch[x] = 0.0f;
        }
    }
    for (x = 0; x < in->width; x++, pixel += in->channels) {
        uint32_t column = x + renet->left;
        float *patch = pixels_of(renet, node, arena, i, column / renet->width);
        patch += (y * renet->width + column % renet->width) * in->channels;
        memcpy(patch, pixel, in->channels * sizeof *patch);
    }
    for (j = 0; j < renet->across && (y + 1 == renet->height || row + 1 == in->height); j++) {
        take_patch(renet, node, arena, i, j);
    }
}

/* Sweeps a column up, from its last patch. */
static void sweep_up(const exn_renet_f32 *renet, const exn_node *node, uint8_t *arena, uint32_t j)
{
    uint32_t i, hidden = renet->columns->hidden, k;
    const float *before = NULL;
    for (i = renet->down; i-- > 0;) {
        float *state = record_of(renet, node, arena, i, j) + hidden;
        float gates[MAX_GATES];
        if (renet->keeps_pixels) {
            renet->kind->take(&renet->columns[1], state, gates);
        } else {
            for (k = 0; k < 3 * hidden; k++) {
                gates[k] = state[k];
            }
        }
        go_on(renet, 1, gates, before, state);
        before = state;
    }
}

void exn_renet_f32_make(const exn_model *model, const exn_node *node, uint8_t *arena, uint32_t row)
{
    const exn_renet_f32 *renet = node->spec;
    float *out = (float *)(void *)exn_output_row(model, node, arena, row);
    uint32_t hidden = renet->rows->hidden, way, t, k;
    for (t = 0; t < renet->across && row == 0; t++) {
        sweep_up(renet, node, arena, t);
    }
    for (way = 0; way < 2; way++) {
        const exn_cell_f32 *cell = &renet->rows[way];
        float state[EXN_MAX_HIDDEN];
        memset(state, 0, sizeof state);
        for (t = 0; t < renet->across; t++) {
            uint32_t j = way ? renet->across - 1u - t : t;
            float *pixel = out + (2 * j + way) * hidden;
            float gates[MAX_GATES];
            renet->kind->take(cell, record_of(renet, node, arena, row, j), gates);
            renet->kind->step(cell, gates, state);
            for (k = 0; k < hidden; k++) {
                pixel[k] = state[k];
            }
        }
    }
}
