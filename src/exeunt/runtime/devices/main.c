/* Classifies raw images that lie on the host: arguments are a file and how many images it holds.
 *
 * Every exit's answer is printed: image, exit, class, whether it would leave, ticks until then,
 * scores. The last line tells the stack that was used.
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

/* Integers as they are, floats as their bits. */
static void print_one(@prefix@_score score)
{
    union {
        @prefix@_score score;
        uint32_t word;
    } both;
    if (sizeof score < sizeof both.word) {
        host_print_number((int64_t)score);
        return;
    }
    both.score = score;
    host_print(" ");
    host_print_hexadecimal(both.word);
}

__attribute__((noinline)) static void print_answer(int64_t image, uint64_t ticks)
{
    const exn_result *result = @prefix@_result(&state);
    const @prefix@_score *scores = result->scores;
    unsigned k;
    host_print("exit");
    host_print_number(image);
    host_print_number(result->exit_index);
    host_print_number(result->class_index);
    host_print_number(result->leave);
    host_print_number((int64_t)ticks);
    for (k = 0; k < @PREFIX@_CLASSES; k++) {
        print_one(scores[k]);
    }
    host_print("\n");
}

static int classify(intptr_t file, int64_t image)
{
    int status = @prefix@_init(&state, arena.bytes, sizeof arena.bytes);
    uint64_t ticks = 0;
    uint32_t since;
    if (!host_seek(file, (size_t)image * @PREFIX@_HEIGHT * ROW_BYTES)) {
        return 1;
    }
    while (status == EXN_ROW || status == EXN_EXIT) {
        uint8_t *row = exn_row_place(&state);
        if (status == EXN_EXIT) {
            print_answer(image, ticks);
            if (@prefix@_result(&state)->exit_index + 1 == @PREFIX@_EXITS) {
                return 0;
            }
        } else if (!host_read(file, row, ROW_BYTES)) {
            return 1;
        }
        since = device_ticks();
        status = row == NULL ? @prefix@_step(&state) : @prefix@_push_row(&state, row);
        ticks += (uint32_t)(device_ticks() - since);
    }
    return 2;
}

/* The command line is: program, file, count. */
int main(void)
{
    char words[256];
    char *path, *end;
    int64_t count = 0, image;
    intptr_t file;
    int status = 0;
    if (!host_words(words, sizeof words)) {
        return 3;
    }
    path = host_next_word(words);
    end = host_next_word(path);
    for (; *end >= '0' && *end <= '9'; end++) {
        count = 10 * count + (*end - '0');
    }
    file = host_open(path);
    if (file < 0) {
        return 4;
    }
    for (image = 0; image < count && status == 0; image++) {
        status = classify(file, image);
    }
    host_print("stack");
    host_print_number(device_stack_bytes());
    host_print("\n");
    return status;
}
