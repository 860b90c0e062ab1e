/* A model for a page that calls it: run, watched, and decided again by another policy.
 *
 * The network, its plan and the runtime are the files of the exported folder as they are. What a
 * page wants besides is had by copies of the model's table: in one every node tells the page when it
 * has worked, in another no node works at all, so that scores that were found before are judged anew.
 *
 * Compiled with PAGE_HEADER, the model's header; PAGE_NODES, how many nodes it has; and PAGE_INT8 as
 * 1 for int8 or 0 for float32. The model's names begin with `net`.
 */
#include PAGE_HEADER

#include <string.h>

#if PAGE_INT8
#include "exn_s8.h"
typedef uint32_t page_level;
typedef exn_policy_s8 page_levels;
#define page_certain exn_certain_s8
#else
#include "exn_f32.h"
typedef float page_level;
typedef exn_policy_f32 page_levels;
#define page_certain exn_certain_f32
#endif

#define EXPORT(name) __attribute__((export_name(#name)))

enum { IMAGE_BYTES = NET_HEIGHT * NET_WIDTH * NET_CHANNELS, ROW_BYTES = NET_WIDTH * NET_CHANNELS };
enum { CONFIDENCE = 1, MARGIN = 2, PERPLEXITY = 4 };

/* Told of every event that is over, by its number. */
__attribute__((import_module("page"), import_name("watch"))) void page_watch(uint32_t event);

static union {
    uint64_t align;
    uint8_t bytes[NET_ARENA_BYTES];
} arena;
static uint8_t image[IMAGE_BYTES];
static net_score scores[NET_EXITS][NET_CLASSES];
static page_level confidence[NET_EXITS], margin[NET_EXITS], softness[NET_EXITS],
    perplexity[NET_EXITS];
static page_levels levels;
static exn_policy policy;
static exn_state state;

static const exn_model *given;  /* as it was exported */
static exn_model asked;         /* by the page's policy */
static exn_model watched;       /* and every event is told */
static exn_model remembered;    /* and nothing is run */
static exn_node nodes[PAGE_NODES];
static const uint32_t no_events[NET_EXITS];

static const exn_node *own(const exn_node *node)
{
    return &given->nodes[node - nodes];
}

static void make(const exn_model *model, const exn_node *node, uint8_t *bytes, uint32_t row)
{
    own(node)->make(model, own(node), bytes, row);
    page_watch(state.event);
}

static void take(const exn_model *model, const exn_node *node, uint8_t *bytes, uint32_t row)
{
    own(node)->take(model, own(node), bytes, row);
    page_watch(state.event);
}

static void read_row(const exn_model *model, const uint8_t *pixels, uint8_t *row)
{
    given->read_row(model, pixels, row);
    page_watch(state.event);
}

/* Once, before all else. */
EXPORT(start) void start(void)
{
    uint32_t k;
    net_init(&state, arena.bytes, sizeof arena.bytes);
    given = state.model;
    asked = watched = *given;
    asked.policy = watched.policy = &policy;
    remembered = asked;
    remembered.stage_ends = no_events;
    for (k = 0; k < PAGE_NODES; k++) {
        nodes[k] = given->nodes[k];
        nodes[k].make = make;
        nodes[k].take = take;
    }
    watched.nodes = nodes;
    watched.read_row = read_row;
    policy = *given->policy;
}

/* Places that the page reads and writes. */
EXPORT(arena_place) uint8_t *arena_place(void) { return arena.bytes; }
EXPORT(image_place) uint8_t *image_place(void) { return image; }
EXPORT(scores_place) net_score *scores_place(void) { return scores[0]; }
EXPORT(confidence_place) page_level *confidence_place(void) { return confidence; }
EXPORT(margin_place) page_level *margin_place(void) { return margin; }
EXPORT(softness_place) page_level *softness_place(void) { return softness; }
EXPORT(perplexity_place) page_level *perplexity_place(void) { return perplexity; }

/* From now on images leave after so many agreements, and where levels are reached: those of the
 * probability, of its distance to the second, of the entropy, of several or of none. */
EXPORT(set_policy) void set_policy(uint32_t patience, uint32_t asked_levels)
{
    levels.confidence = asked_levels & CONFIDENCE ? confidence : NULL;
    levels.margin = asked_levels & MARGIN ? margin : NULL;
    levels.perplexity = asked_levels & PERPLEXITY ? perplexity : NULL;
#if PAGE_INT8
    levels.softness = softness;
#else
    levels.temperatures = softness;
#endif
    policy.thresholds = asked_levels ? &levels : NULL;
    policy.certain = asked_levels & PERPLEXITY ? page_certain : NULL;
    policy.patience = (uint8_t)patience;
}

static void keep_scores(const exn_result *result)
{
    memcpy(scores[result->exit_index], result->scores, sizeof scores[0]);
}

/* Runs the image until it leaves, or to the last exit if `all`; keeps the scores. Returns where it
 * leaves, counted from 0, or an error. */
EXPORT(run) int run(uint32_t all, uint32_t watch)
{
    const uint8_t *row = image;
    int status = exn_init(&state, watch ? &watched : &asked, arena.bytes, sizeof arena.bytes);
    int left = -1;
    for (;;) {
        const exn_result *result = exn_get_result(&state);
        if (status == EXN_ROW) {
            status = exn_push_row(&state, row);
            row += ROW_BYTES;
            continue;
        }
        if (status != EXN_EXIT) {
            return status;
        }
        keep_scores(result);
        left = left < 0 && result->leave ? result->exit_index : left;
        if (result->exit_index + 1 == NET_EXITS || (left >= 0 && !all)) {
            return left;
        }
        status = exn_step(&state);
    }
}

static void recall(uint32_t exit)
{
    const exn_ring *ring = &given->rings[given->logits[exit]];
    memcpy(arena.bytes + ring->places[0], scores[exit], sizeof scores[0]);
}

/* Where an image leaves whose scores are kept, counted from 0, or an error. */
EXPORT(decide) int decide(void)
{
    uint32_t exit = 0;
    int status;
    recall(0);
    status = exn_init(&state, &remembered, arena.bytes, sizeof arena.bytes);
    while (status == EXN_EXIT && !exn_get_result(&state)->leave) {
        recall(++exit);
        status = exn_step(&state);
    }
    return status < 0 ? status : (int)exit;
}

/* Whether a made-up image has the scores that Python found: 0 if it has. */
EXPORT(self_test) int self_test(void)
{
    return net_self_test(arena.bytes, sizeof arena.bytes, image);
}

void *memcpy(void *to, const void *from, size_t count)
{
    return __builtin_memcpy(to, from, count);
}

void *memmove(void *to, const void *from, size_t count)
{
    return __builtin_memmove(to, from, count);
}

void *memset(void *to, int byte, size_t count)
{
    return __builtin_memset(to, byte, count);
}
