/* Classifies images with the network in this folder.
 *
 *     {{ prefix }} IMAGE.ppm ...   binary PPM or PGM of the model's size: class and exit of each
 *     {{ prefix }} --all FILE      raw images one after the other: every exit's answer, one line each
 */
#include "{{ prefix }}.h"

#include <stdio.h>
#include <string.h>

enum {
    IMAGE_BYTES = {{ PREFIX }}_HEIGHT * {{ PREFIX }}_WIDTH * {{ PREFIX }}_CHANNELS
};

static union {
    uint32_t align;
    uint8_t bytes[{{ PREFIX }}_ARENA_BYTES];
} arena;
static uint8_t image[IMAGE_BYTES];

/* Says what a call returned that was an error. */
static int failed(int status)
{
    fprintf(stderr, "{{ prefix }}: %s (%d)\n", exn_status_text(status), status);
    return 2;
}

static void print_scores(const exn_result *result)
{
    const {{ prefix }}_score *scores = result->scores;
    unsigned k;
    for (k = 0; k < {{ PREFIX }}_CLASSES; k++) {
        printf(" " {{ PREFIX }}_SCORE_FORMAT, {{ PREFIX }}_SCORE_SHOWN(scores[k]));
    }
}

/* Skips white space and comments in the head of a PPM file, then reads a number. */
static int read_number(FILE *file)
{
    int c = fgetc(file), number = 0;
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '#') {
        while (c == '#' && (c = fgetc(file)) != EOF && c != '\n') {
            c = '#';
        }
        c = fgetc(file);
    }
    if (c < '0' || c > '9') {
        return -1;
    }
    for (; c >= '0' && c <= '9' && number < 100000; c = fgetc(file)) {
        number = 10 * number + (c - '0');
    }
    return number;
}

static int read_image(const char *path)
{
    FILE *file = fopen(path, "rb");
    int kind, width, height, most;
    size_t got;
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        return 0;
    }
    kind = fgetc(file) == 'P' ? fgetc(file) : 0;
    width = read_number(file);
    height = read_number(file);
    most = read_number(file);
    got = fread(image, 1, sizeof image, file);
    fclose(file);
    if (kind != ({{ PREFIX }}_CHANNELS == 1 ? '5' : '6') || width != {{ PREFIX }}_WIDTH ||
        height != {{ PREFIX }}_HEIGHT || most != 255 || got != sizeof image) {
        fprintf(stderr, "%s: not a binary P%c file of %d x %d pixels with 255 levels\n", path,
                {{ PREFIX }}_CHANNELS == 1 ? '5' : '6', {{ PREFIX }}_WIDTH, {{ PREFIX }}_HEIGHT);
        return 0;
    }
    return 1;
}

static int classify(const char *path)
{
    exn_state state;
    const exn_result *result;
    int status;
    if (!read_image(path)) {
        return 1;
    }
    status = {{ prefix }}_init(&state, arena.bytes, sizeof arena.bytes);
    if (status == EXN_ROW) {
        status = {{ prefix }}_run(&state, image);
    }
    if (status != EXN_EXIT) {
        return failed(status);
    }
    result = {{ prefix }}_result(&state);
    printf("%s: %s, left at exit %d of %d, scores", path,
           {{ prefix }}_class_names[result->class_index], result->exit_index + 1, {{ PREFIX }}_EXITS);
    print_scores(result);
    printf("\n");
    return 0;
}

/* Pushes the image row by row and asks every exit; prints what each says. */
static int show_all(exn_state *state, unsigned long number)
{
    int status = {{ prefix }}_init(state, arena.bytes, sizeof arena.bytes);
    const uint8_t *row = image;
    while (status == EXN_ROW || status == EXN_EXIT) {
        const exn_result *result = {{ prefix }}_result(state);
        if (status == EXN_ROW) {
            status = {{ prefix }}_push_row(state, row);
            row += {{ PREFIX }}_WIDTH * {{ PREFIX }}_CHANNELS;
            continue;
        }
        printf("%lu %d %d %d", number, result->exit_index, result->class_index, result->leave);
        print_scores(result);
        printf("\n");
        if (result->exit_index + 1 == {{ PREFIX }}_EXITS) {
            return 0;
        }
        status = {{ prefix }}_step(state);
    }
    return failed(status);
}

static int all(const char *path)
{
    exn_state state;
    unsigned long number = 0;
    FILE *file = fopen(path, "rb");
    int status = 0;
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        return 1;
    }
    while (status == 0 && fread(image, 1, sizeof image, file) == sizeof image) {
        status = show_all(&state, number++);
    }
    fclose(file);
    return status;
}

int main(int count, char **words)
{
    int k, status = 0;
    if (count == 3 && strcmp(words[1], "--all") == 0) {
        return all(words[2]);
    }
    for (k = 1; k < count; k++) {
        status |= classify(words[k]);
    }
    if (count < 2) {
        fprintf(stderr, "give images, as binary PPM of %d x %d pixels\n", {{ PREFIX }}_WIDTH,
                {{ PREFIX }}_HEIGHT);
        status = 1;
    }
    return status;
}
