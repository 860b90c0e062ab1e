/* {{ title }}
 *
 * {{ height }} x {{ width }} pixels of {{ channels }} {{ "bytes (R, G, B)" if channels == 3 else "byte" }}, {{ "one value" if regression else "%d classes" % classes }}, {{ exits }} exits; {{ dtype }}. Made by exeunt {{ version }}.
 * RAM: an arena of {{ "{:,}".format(arena_bytes) }} bytes, {{ "{:,}".format(window_bytes) }} of them rows of the image, an exn_state, and stack.
 * Constants: {{ "{:,}".format(constants_bytes) }} bytes of flash. Numbers of each line are up to its exit:
 *
{% for line in table %}
 *   {{ line }}
{% endfor %}
 *
{% if policy %}
 * Leaves by:
{% for line in policy %}
 *   {{ line }}
{% endfor %}
 *
{% endif %}
{% if regression %}
 * The value is the only score times {{ prefix }}_score_scales of its exit.
 *
{% endif %}
{% if calibration and regression %}
 * Errors are those of {{ "{:,}".format(calibration.images) }} calibration images, in the units of the value; with the policy {{ "%.4g" % calibration.mae }},
 * saving {{ "%.1f" % (100 * calibration.saving) }} % of the multiply-adds.
 *
{% elif calibration %}
 * Accuracy is that of {{ "{:,}".format(calibration.images) }} calibration images; with the policy {{ "%.1f" % (100 * calibration.accuracy) }} %, saving {{ "%.1f" % (100 * calibration.saving) }} % of the
 * multiply-adds.
 *
{% endif %}
 * How to use it:
 *
 *     static union { uint32_t align; uint8_t bytes[{{ PREFIX }}_ARENA_BYTES]; } arena;
 *     static exn_state state;
 *     int status = {{ prefix }}_init(&state, arena.bytes, sizeof arena.bytes);
 *     while (status == EXN_ROW || (status == EXN_EXIT && !{{ prefix }}_result(&state)->leave)) {
 *         if (status == EXN_ROW) status = {{ prefix }}_push_row(&state, row_of_your_camera());
 *         else status = {{ prefix }}_step(&state);
 *     }
 *     if (status == EXN_EXIT) {% if regression %}use(*(const {{ prefix }}_score *){{ prefix }}_result(&state)->scores);{% else %}puts({{ prefix }}_class_names[{{ prefix }}_result(&state)->class_index]);{% endif %}

 *
 * A row is {{ width }} pixels, {{ width * channels }} bytes. For an image that is in memory as a whole there is
 * {{ prefix }}_run(&state, image), behind {{ prefix }}_init.
 *
 * Every image begins with {{ prefix }}_init. What calls return (`exn_status_text` has it in words):
 *
 *     EXN_EXIT              0  an exit has answered: read {{ prefix }}_result
 *     EXN_ROW               1  the next row of the image is wanted
 *     EXN_ERROR_NULL       -1  an argument is NULL
 *     EXN_ERROR_SIZE       -2  the arena has fewer than {{ PREFIX }}_ARENA_BYTES
 *     EXN_ERROR_ORDER      -3  out of turn; also a second {{ prefix }}_run without {{ prefix }}_init
 *     EXN_ERROR_STATE      -4  {{ prefix }}_init was never called, or has failed
 *     EXN_ERROR_ALIGNMENT  -5  the arena does not begin at a multiple of EXN_ALIGN
 *     EXN_ERROR_CAMERA     -6  a camera's frame and the image do not go together (exn_camera.h)
 */
#ifndef {{ PREFIX }}_H
#define {{ PREFIX }}_H

#include "exn.h"

#if EXN_RUNTIME != {{ runtime }}
#error "{{ prefix }} was made for another runtime: take the exeunt_runtime that lies beside it"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define {{ PREFIX }}_ARENA_BYTES {{ arena_bytes }}
#define {{ PREFIX }}_HEIGHT {{ height }}
#define {{ PREFIX }}_WIDTH {{ width }}
#define {{ PREFIX }}_CHANNELS {{ channels }}
#define {{ PREFIX }}_CLASSES {{ classes }}
#define {{ PREFIX }}_EXITS {{ exits }}

typedef {{ score_type }} {{ prefix }}_score;
#define {{ PREFIX }}_SCORE_FORMAT "{{ score_format }}"
#define {{ PREFIX }}_SCORE_SHOWN(score) (({{ score_shown_as }})(score))

extern const char *const {{ prefix }}_class_names[{{ PREFIX }}_CLASSES];

/* What one of each exit's scores is worth in {{ "units of the value" if regression else "logits" }}. */
extern const float {{ prefix }}_score_scales[{{ PREFIX }}_EXITS];

/* `arena`: of `arena_bytes`, at least {{ PREFIX }}_ARENA_BYTES, aligned to EXN_ALIGN. For the rest see
 * exn.h. */
int {{ prefix }}_init(exn_state *state, void *arena, size_t arena_bytes);
int {{ prefix }}_push_row(exn_state *state, const uint8_t *pixels);
int {{ prefix }}_step(exn_state *state);
int {{ prefix }}_run(exn_state *state, const uint8_t *image);
const exn_result *{{ prefix }}_result(const exn_state *state);

/* Fills `image` (all its bytes) with a pattern, runs every exit and compares the scores with those
 * that Python found. Returns 0 if they are the same, 1 if not, or an error below zero. */
int {{ prefix }}_self_test(void *arena, size_t arena_bytes, uint8_t *image);

#ifdef __cplusplus
}
#endif

#endif
