/* Compares every exit's scores of a made-up image with those that Python found, and looks whether
 * anything was written beside the arena. A board can do the same: the test itself,
 * {{ prefix }}_self_test, is a part of the network's library.
 */
#include "{{ prefix }}.h"

#include <stdio.h>
#include <string.h>

enum {
    FENCE_BYTES = ({{ PREFIX }}_ARENA_BYTES + EXN_ALIGN - 1) / EXN_ALIGN * EXN_ALIGN,
    MARK = 0xa5
};

static uint8_t image[{{ PREFIX }}_HEIGHT * {{ PREFIX }}_WIDTH * {{ PREFIX }}_CHANNELS];

/* An arena between two fences as long as itself. */
static union {
    uint32_t align;
    uint8_t bytes[FENCE_BYTES + {{ PREFIX }}_ARENA_BYTES + FENCE_BYTES];
} fenced;

static int is_marked(const uint8_t *bytes, size_t count)
{
    size_t k;
    for (k = 0; k < count && bytes[k] == MARK; k++) {
    }
    return k == count;
}

int main(void)
{
    uint8_t *bytes = fenced.bytes + FENCE_BYTES;
    int status;
    memset(fenced.bytes, MARK, sizeof fenced.bytes);
    status = {{ prefix }}_self_test(bytes, {{ PREFIX }}_ARENA_BYTES, image);
    if (status < 0) {
        fprintf(stderr, "{{ prefix }}: %s (%d)\n", exn_status_text(status), status);
    } else if (!is_marked(fenced.bytes, FENCE_BYTES) ||
               !is_marked(bytes + {{ PREFIX }}_ARENA_BYTES, FENCE_BYTES)) {
        fprintf(stderr, "{{ prefix }}: something was written beside the arena\n");
        status = 1;
    }
    printf("self-test: %s\n", status == 0 ? "passed" : "FAILED");
    return status != 0;
}
