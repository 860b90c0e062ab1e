#include "{{ prefix }}.h"
{% for header in headers %}
#include "{{ header }}"
{% endfor %}

{{ source }}
static const exn_model model = {
    .rings = {{ prefix }}_rings,
    .nodes = {{ prefix }}_nodes,
    .events = {{ prefix }}_events,
    .stage_ends = {{ prefix }}_stage_ends,
    .logits = {{ prefix }}_logits,
    .policy = &{{ policy }},
    .read_row = {{ read_row }},
    .input = &{{ input }},
    .judge = {{ judge }},
    .arena_bytes = {{ arena_bytes }},
    .image = 0,
    .class_count = {{ PREFIX }}_CLASSES,
    .exit_count = {{ PREFIX }}_EXITS,
};

const char *const {{ prefix }}_class_names[{{ PREFIX }}_CLASSES] = {
{% for name in class_names %}
    {{ name }}{{ "," if not loop.last }}
{% endfor %}
};

const float {{ prefix }}_score_scales[{{ PREFIX }}_EXITS] = {
    {{ score_scales | join(", ") | wordwrap(94, wrapstring="\n    ") }}
};

int {{ prefix }}_init(exn_state *state, void *arena, size_t arena_bytes)
{
    return exn_init(state, &model, arena, arena_bytes);
}

int {{ prefix }}_push_row(exn_state *state, const uint8_t *pixels)
{
    return exn_push_row(state, pixels);
}

int {{ prefix }}_step(exn_state *state)
{
    return exn_step(state);
}

int {{ prefix }}_run(exn_state *state, const uint8_t *image)
{
    return exn_run(state, image);
}

const exn_result *{{ prefix }}_result(const exn_state *state)
{
    return exn_get_result(state);
}
