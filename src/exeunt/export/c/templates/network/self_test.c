#include "{{ prefix }}.h"

static const {{ prefix }}_score expected[{{ PREFIX }}_EXITS][{{ PREFIX }}_CLASSES] = {
{% for exit in scores %}
    {{ "{" }}{{ exit | join(", ") }}{{ "}" }}{{ "," if not loop.last }}
{% endfor %}
};

static int same(const exn_result *result)
{
    const {{ prefix }}_score *scores = result->scores, *wanted = expected[result->exit_index];
    unsigned k;
    for (k = 0; k < {{ PREFIX }}_CLASSES; k++) {
        if (!(scores[k] - wanted[k] <= {{ tolerance }} && wanted[k] - scores[k] <= {{ tolerance }})) {
            return 0;
        }
    }
    return 1;
}

int {{ prefix }}_self_test(void *arena, size_t arena_bytes, uint8_t *image)
{
    exn_state state;
    uint32_t random = 1, i;
    int status = {{ prefix }}_init(&state, arena, arena_bytes);
    for (i = 0; i < {{ PREFIX }}_HEIGHT * {{ PREFIX }}_WIDTH * {{ PREFIX }}_CHANNELS; i++) {
        random = random * 1664525u + 1013904223u;
        image[i] = (uint8_t)(random >> 24);
    }
    i = 0;
    while (status == EXN_ROW || (status == EXN_EXIT && same({{ prefix }}_result(&state)))) {
        if (status == EXN_ROW) {
            status = {{ prefix }}_push_row(&state, image + i * {{ PREFIX }}_WIDTH * {{ PREFIX }}_CHANNELS);
            i++;
        } else if ({{ prefix }}_result(&state)->exit_index + 1 == {{ PREFIX }}_EXITS) {
            return 0;
        } else {
            status = {{ prefix }}_step(&state);
        }
    }
    return status < 0 ? status : 1;
}
