"""The header and the fixed parts of a generated model."""

HEADER = """\
/* {title}
 *
 * {height} x {width} pixels, {classes} classes, {exits} exits; {dtype}. Made by exeunt {version}.
 *
 *     exn_state state;
 *     int status = {prefix}_init(&state, arena, sizeof arena);
 *     while (status == EXN_ROW || (status == EXN_EXIT && !{prefix}_result(&state)->leave))
 *         status = status == EXN_ROW ? {prefix}_push_row(&state, next row) : {prefix}_step(&state);
 *
 * or, for an image that is in memory as a whole, {prefix}_run(&state, image) behind {prefix}_init.
 *
 * Every image begins with {prefix}_init. What calls return (`exn_status_text` has it in words):
 *
 *     EXN_EXIT              0  an exit has answered: read {prefix}_result
 *     EXN_ROW               1  the next row of the image is wanted
 *     EXN_ERROR_NULL       -1  an argument is NULL
 *     EXN_ERROR_SIZE       -2  the arena has fewer than {upper}_ARENA_BYTES
 *     EXN_ERROR_ORDER      -3  out of turn; also a second {prefix}_run without {prefix}_init
 *     EXN_ERROR_STATE      -4  {prefix}_init was never called, or has failed
 *     EXN_ERROR_ALIGNMENT  -5  the arena does not begin at a multiple of EXN_ALIGN
 */
#ifndef {upper}_H
#define {upper}_H

#include "exn.h"

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_ARENA_BYTES {arena_bytes}
#define {upper}_HEIGHT {height}
#define {upper}_WIDTH {width}
#define {upper}_CHANNELS {channels}
#define {upper}_CLASSES {classes}
#define {upper}_EXITS {exits}

typedef {score_type} {prefix}_score;
#define {upper}_SCORE_FORMAT "{score_format}"
#define {upper}_SCORE_SHOWN(score) (({score_shown_as})(score))

extern const char *const {prefix}_class_names[{upper}_CLASSES];

/* What one of each exit's scores is worth in logits. */
extern const float {prefix}_score_scales[{upper}_EXITS];

/* `arena`: of `arena_bytes`, at least {upper}_ARENA_BYTES, aligned to EXN_ALIGN. For the rest see
 * exn.h. */
int {prefix}_init(exn_state *state, void *arena, size_t arena_bytes);
int {prefix}_push_row(exn_state *state, const uint8_t *pixels);
int {prefix}_step(exn_state *state);
int {prefix}_run(exn_state *state, const uint8_t *image);
const exn_result *{prefix}_result(const exn_state *state);

/* Fills `image` (all its bytes) with a pattern, runs every exit and compares the scores with those
 * that Python found. Returns 0 if they are the same, 1 if not, or an error below zero. */
int {prefix}_self_test(void *arena, size_t arena_bytes, uint8_t *image);

#ifdef __cplusplus
}}
#endif

#endif
"""

MODEL = """\
static const exn_model model = {{
    .rings = {prefix}_rings,
    .nodes = {prefix}_nodes,
    .events = {prefix}_events,
    .stage_ends = {prefix}_stage_ends,
    .logits = {prefix}_logits,
    .policy = &{policy},
    .read_row = {read_row},
    .input = &{input},
    .judge = {judge},
    .arena_bytes = {arena_bytes},
    .image = 0,
    .class_count = {upper}_CLASSES,
    .exit_count = {upper}_EXITS,
}};

const char *const {prefix}_class_names[{upper}_CLASSES] = {{
{class_names}
}};

const float {prefix}_score_scales[{upper}_EXITS] = {{{score_scales}}};

int {prefix}_init(exn_state *state, void *arena, size_t arena_bytes)
{{
    return exn_init(state, &model, arena, arena_bytes);
}}

int {prefix}_push_row(exn_state *state, const uint8_t *pixels)
{{
    return exn_push_row(state, pixels);
}}

int {prefix}_step(exn_state *state)
{{
    return exn_step(state);
}}

int {prefix}_run(exn_state *state, const uint8_t *image)
{{
    return exn_run(state, image);
}}

const exn_result *{prefix}_result(const exn_state *state)
{{
    return exn_get_result(state);
}}
"""

SELF_TEST = """\
#include "{prefix}.h"

static const {prefix}_score expected[{upper}_EXITS][{upper}_CLASSES] = {{
{scores}
}};

static int same(const exn_result *result)
{{
    const {prefix}_score *scores = result->scores, *wanted = expected[result->exit_index];
    unsigned k;
    for (k = 0; k < {upper}_CLASSES; k++) {{
        if (!(scores[k] - wanted[k] <= {tolerance} && wanted[k] - scores[k] <= {tolerance})) {{
            return 0;
        }}
    }}
    return 1;
}}

int {prefix}_self_test(void *arena, size_t arena_bytes, uint8_t *image)
{{
    exn_state state;
    uint32_t random = 1, i;
    int status = {prefix}_init(&state, arena, arena_bytes);
    for (i = 0; i < {upper}_HEIGHT * {upper}_WIDTH * {upper}_CHANNELS; i++) {{
        random = random * 1664525u + 1013904223u;
        image[i] = (uint8_t)(random >> 24);
    }}
    i = 0;
    while (status == EXN_ROW || (status == EXN_EXIT && same({prefix}_result(&state)))) {{
        if (status == EXN_ROW) {{
            status = {prefix}_push_row(&state, image + i * {upper}_WIDTH * {upper}_CHANNELS);
            i++;
        }} else if ({prefix}_result(&state)->exit_index + 1 == {upper}_EXITS) {{
            return 0;
        }} else {{
            status = {prefix}_step(&state);
        }}
    }}
    return status < 0 ? status : 1;
}}
"""
