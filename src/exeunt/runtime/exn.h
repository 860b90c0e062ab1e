/* exeunt runtime: networks with several exits, row by row, in memory that the caller owns.
 *
 * A generated model is a table of nodes and a list of events. An event lets one node make one row
 * of its output, or take in one row of its input; the order of events and the place of every row
 * were planned ahead, so nothing is allocated or decided here but whether to leave.
 *
 * C99, no allocation, no input or output, no writable globals. Everything is const but the arena
 * and the state, which belong to the caller.
 */
#ifndef EXN_H
#define EXN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of these declarations; a network that was made for other ones refuses to compile. */
#define EXN_RUNTIME 6

/* What calls return: an error below zero, otherwise what comes next. */
typedef enum exn_status {
    EXN_EXIT = 0,            /* an exit has answered: read the result */
    EXN_ROW = 1,             /* the next row of the image is wanted */
    EXN_ERROR_NULL = -1,     /* an argument is NULL */
    EXN_ERROR_SIZE = -2,     /* the arena has fewer bytes than the network needs */
    EXN_ERROR_ORDER = -3,    /* out of turn: a row that is not wanted, a step before an answer or
                                behind the last exit, a new image without `exn_init` */
    EXN_ERROR_STATE = -4,    /* `exn_init` was never called, or has failed */
    EXN_ERROR_ALIGNMENT = -5, /* the arena does not begin at a multiple of EXN_ALIGN */
    EXN_ERROR_CAMERA = -6    /* a frame, a format and the image do not go together (exn_camera.h) */
} exn_status;

/* The same in words, for a log. */
const char *exn_status_text(int status);

enum { EXN_ALIGN = 4 };

/* What an exit says. */
typedef struct exn_result {
    uint16_t class_index;  /* of the largest score, the first of several that are equal; 0 in a
                              regression, whose value is the only score */
    uint8_t exit_index;    /* counted from 0 */
    uint8_t leave;         /* 1 if the policy is satisfied, or this is the last exit */
    const void *scores;    /* one per class, int16_t or float; valid until the next call */
} exn_result;

/* A tensor: a ring of rows, each row pixel after pixel, each pixel channel after channel. */
typedef struct exn_ring {
    const uint32_t *places;  /* in the arena, each aligned to EXN_ALIGN: row r lies at */
    uint16_t slots;          /* places[r % slots] */
    uint16_t height, width, channels;
} exn_ring;

/* Some channels of a tensor; a node reads one such part, or several behind each other. */
typedef struct exn_part {
    uint16_t ring;
    uint16_t first, channels;
} exn_part;

struct exn_model;
struct exn_node;

/* Makes a row of a node's output, or takes in a row of its input. */
typedef void exn_kernel(const struct exn_model *model, const struct exn_node *node, uint8_t *arena,
                        uint32_t row);

typedef struct exn_node {
    exn_kernel *make;
    exn_kernel *take;       /* NULL for what accumulates nothing */
    const void *spec;       /* sizes and weights, a struct of the kernel's own */
    const exn_part *parts;  /* of the first input, then of the second */
    uint16_t part_count[2];
    uint16_t output;        /* its ring */
    uint32_t kept;          /* offset of what it keeps between rows */
    const uint32_t *scratch;  /* and of what it needs while it makes row r: scratch[r % slots] */
    uint16_t slots;
} exn_node;

/* Bit of `exn_event.node` that says: take in. The image's own rows have this node alone. */
enum { EXN_TAKE = 0x8000, EXN_IMAGE = 0x7fff };

typedef struct exn_event {
    uint16_t node;
    uint16_t row;
} exn_event;

/* What an exit said, for the next one to agree with: a class, or the value of a regression, as it is
 * in the scores.
 */
typedef union exn_said {
    int32_t whole;
    float real;
} exn_said;

/* When to leave. Every condition that is set has to hold; none set means never. */
typedef struct exn_policy {
    const void *thresholds;  /* of probabilities, a struct of the numbers' own type; NULL: not asked */
    uint8_t patience;    /* so many agreements with the exit before, in a row; 0: not asked */
    /* Whether the entropy is as small as the thresholds ask; NULL: not asked. */
    int (*certain)(const struct exn_model *model, const uint8_t *arena, uint8_t exit);
    /* Whether a value is as near to that of the exit before as `tolerance` asks, which it takes the
     * place of; NULL where exits agree on the class. */
    int (*agrees)(const struct exn_model *model, const uint8_t *arena, uint8_t exit, exn_said *said);
    const void *tolerance;   /* a struct of the numbers' own type */
} exn_policy;

typedef struct exn_model {
    const exn_ring *rings;
    const exn_node *nodes;
    const exn_event *events;
    const uint32_t *stage_ends;  /* events before the end of each stage */
    const uint16_t *logits;      /* ring of each exit's scores */
    const exn_policy *policy;
    /* Turns a row of bytes into a row of the image's ring. */
    void (*read_row)(const struct exn_model *model, const uint8_t *pixels, uint8_t *row);
    const void *input;           /* what `read_row` needs */
    /* Reads the scores of one exit: the first class, and whether the thresholds are reached. */
    int (*judge)(const struct exn_model *model, const uint8_t *arena, uint8_t exit,
                 uint16_t *class_index);
    uint32_t arena_bytes;
    uint16_t image;              /* ring */
    uint16_t class_count;
    uint8_t exit_count;
} exn_model;

typedef struct exn_state {
    const exn_model *model;
    uint8_t *arena;
    uint32_t event;        /* the next one */
    exn_result result;
    exn_said said;         /* by the exit before */
    uint8_t agreements;    /* in a row */
    uint8_t stage;         /* under way, or done */
    uint8_t answered;      /* whether `result` is of this stage */
} exn_state;

/* Begins with a new image, each time; returns EXN_ROW. `arena` has `arena_bytes`, at least as many as
 * the model needs, and stays. After an error the state is one that no call takes. */
int exn_init(exn_state *state, const exn_model *model, void *arena, size_t arena_bytes);

/* Takes the next row of the image, top to bottom: width x channels bytes, channel after channel.
 * Returns EXN_ROW while more are wanted, and EXN_EXIT when the first exit has answered, which may be
 * before the last row, if no operator reads that. */
int exn_push_row(exn_state *state, const uint8_t *pixels);

/* Where the next row of the image is going to lie, so that a camera may write it there itself and
 * `exn_push_row` is given this place; NULL when no row is wanted. */
uint8_t *exn_row_place(const exn_state *state);

/* Goes on to the next exit; also past one that would leave. Returns EXN_EXIT, or EXN_ROW if the next
 * stage reads rows of the image that no stage before has read. */
int exn_step(exn_state *state);

/* After `exn_init`: pushes a whole image, row after row, and goes on until the policy says leave. */
int exn_run(exn_state *state, const uint8_t *image);

/* The last answer, or NULL before the first. */
const exn_result *exn_get_result(const exn_state *state);

#ifdef __cplusplus
}
#endif

#endif
