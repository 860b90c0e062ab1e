#include "exn_access.h"

#include <string.h>

static int is_ready(const exn_state *state)
{
    return state->model != NULL && state->arena != NULL;
}

/* Whether an exit that found this class says what the exit before said. */
static int agrees(exn_state *state, uint16_t found)
{
    const exn_policy *policy = state->model->policy;
    int alike = state->stage > 0 && state->said.whole == found;
    if (policy->agrees != NULL) {
        return policy->agrees(state->model, state->arena, state->stage, &state->said);
    }
    state->said.whole = found;
    return alike;
}

/* Asks the policy about the exit that has just been computed. */
static EXN_APART void decide(exn_state *state)
{
    const exn_model *model = state->model;
    const exn_policy *policy = model->policy;
    const exn_ring *logits = &model->rings[model->logits[state->stage]];
    uint16_t found = 0;
    int sure = model->judge(model, state->arena, state->stage, &found);
    int asked = policy->patience != 0 || policy->thresholds != NULL;
    int last = state->stage + 1 == model->exit_count;
    sure = sure && (last || policy->certain == NULL ||
                    policy->certain(model, state->arena, state->stage));

    if (agrees(state, found)) {
        state->agreements = (uint8_t)(state->agreements + (state->agreements < UINT8_MAX));
    } else {
        state->agreements = 0;
    }
    state->result.class_index = found;
    state->result.exit_index = state->stage;
    state->result.scores = state->arena + logits->places[0];
    state->result.leave = last || (asked && sure && state->agreements >= policy->patience);
    state->answered = 1;
}

/* Carries out events until a row of the image is wanted, or the stage is done. */
static int advance(exn_state *state)
{
    const exn_model *model = state->model;
    while (state->event < model->stage_ends[state->stage]) {
        const exn_event *event = &model->events[state->event];
        const exn_node *node;
        if (event->node == EXN_IMAGE) {
            return EXN_ROW;
        }
        node = &model->nodes[event->node & EXN_IMAGE];
        (event->node & EXN_TAKE ? node->take : node->make)(model, node, state->arena, event->row);
        state->event++;
    }
    decide(state);
    return EXN_EXIT;
}

int exn_init(exn_state *state, const exn_model *model, void *arena, size_t arena_bytes)
{
    if (state == NULL) {
        return EXN_ERROR_NULL;
    }
    memset(state, 0, sizeof *state);
    if (model == NULL || arena == NULL) {
        return EXN_ERROR_NULL;
    }
    if (arena_bytes < model->arena_bytes) {
        return EXN_ERROR_SIZE;
    }
    if ((uintptr_t)arena % EXN_ALIGN != 0) {
        return EXN_ERROR_ALIGNMENT;
    }
    state->model = model;
    state->arena = arena;
    return advance(state);
}

static int wants_row(const exn_state *state)
{
    return !state->answered && state->model->events[state->event].node == EXN_IMAGE;
}

uint8_t *exn_row_place(const exn_state *state)
{
    const exn_ring *ring;
    if (state == NULL || !is_ready(state) || !wants_row(state)) {
        return NULL;
    }
    ring = &state->model->rings[state->model->image];
    return exn_place(ring, state->arena, state->model->events[state->event].row);
}

int exn_push_row(exn_state *state, const uint8_t *pixels)
{
    if (state == NULL || pixels == NULL) {
        return EXN_ERROR_NULL;
    }
    if (!is_ready(state)) {
        return EXN_ERROR_STATE;
    }
    if (!wants_row(state)) {
        return EXN_ERROR_ORDER;
    }
    state->model->read_row(state->model, pixels, exn_row_place(state));
    state->event++;
    return advance(state);
}

int exn_step(exn_state *state)
{
    if (state == NULL) {
        return EXN_ERROR_NULL;
    }
    if (!is_ready(state)) {
        return EXN_ERROR_STATE;
    }
    if (!state->answered || state->stage + 1 == state->model->exit_count) {
        return EXN_ERROR_ORDER;
    }
    state->stage++;
    state->answered = 0;
    return advance(state);
}

int exn_run(exn_state *state, const uint8_t *image)
{
    const exn_ring *ring;
    int status = EXN_ROW;
    if (state == NULL || image == NULL) {
        return EXN_ERROR_NULL;
    }
    if (!is_ready(state)) {
        return EXN_ERROR_STATE;
    }
    ring = &state->model->rings[state->model->image];
    while (status == EXN_ROW || (status == EXN_EXIT && !state->result.leave)) {
        if (status == EXN_EXIT) {
            status = exn_step(state);
        } else {
            status = exn_push_row(state, image);
            image += (size_t)ring->width * ring->channels;
        }
    }
    return status;
}

const exn_result *exn_get_result(const exn_state *state)
{
    return state != NULL && is_ready(state) && state->answered ? &state->result : NULL;
}
