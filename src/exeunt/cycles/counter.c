/* A plugin of QEMU's that counts how often each run of instructions is executed.
 *
 * What it is given: out=PATH window=LOW-HIGH mark=ADDRESS flash=LOW-HIGH flash=LOW-HIGH
 * line=BYTES code=LINES data=LINES
 *
 * Counting goes on and off whenever the function at `window` is entered, and stops within it. Whenever the one at `mark`
 * is, a line "mark code_misses data_misses unaligned" is written, behind it "ADDRESS INSTRUCTIONS
 * COUNT TAKEN" of all blocks since the last one: how often each was executed, and how often what
 * came next did not lie behind it.
 *
 * Flash is read in lines. So many of code and so many of constants are kept, those that were used
 * last; without any for constants both share the first. A miss is a line that is not among them.
 * Accesses that cross what they are a multiple of cost the cycles that Arm says: one, or two for
 * words at odd addresses.
 *
 * The interface is that of QEMU 7.2 and later, declared here since distributions lack the header.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb,
                                                        size_t index);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
extern unsigned qemu_plugin_mem_size_shift(uint32_t info);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                                  void (*call)(plugin_id,
                                                               struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                                 void (*call)(unsigned, void *), int flags,
                                                 void *data);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                                             void (*call)(unsigned, uint32_t, uint64_t, void *),
                                             int flags, int kind, void *data);

API int qemu_plugin_version = PLUGIN_VERSION;

struct block {
    uint64_t at, end, instructions, count, taken;
    struct block *next;
};

enum { BUCKETS = 4096, REGIONS = 2, LINES = 65536 };

/* Lines that are kept, in a ring from the one that was used last. */
struct cache {
    uint32_t size, used, newest;
    uint64_t misses;
    struct line {
        uint64_t tag;
        uint32_t older, newer, next;
    } lines[LINES];
    uint32_t buckets[LINES];
};

static struct block *blocks[BUCKETS], *previous;
static struct cache code, constants;
static uint64_t window_at, window_end, mark_at, low[REGIONS], high[REGIONS], unaligned;
static unsigned regions, shift;
static bool counting;
static FILE *out;

static uint32_t *bucket_of(struct cache *cache, uint64_t tag)
{
    return &cache->buckets[(tag * 0x9e3779b97f4a7c15u) >> 48];
}

static void take_out(struct cache *cache, uint32_t at)
{
    struct line *line = &cache->lines[at];
    cache->lines[line->newer].older = line->older;
    cache->lines[line->older].newer = line->newer;
}

static void put_first(struct cache *cache, uint32_t at)
{
    struct line *line = &cache->lines[at], *newest = &cache->lines[cache->newest];
    line->older = cache->newest;
    line->newer = newest->newer;
    cache->lines[newest->newer].older = at;
    newest->newer = at;
    cache->newest = at;
}

/* Lines are counted from 1: 0 is none. */
static void use(struct cache *cache, uint64_t tag)
{
    uint32_t *link = bucket_of(cache, tag), at = *link;
    if (cache->used > 0 && cache->lines[cache->newest].tag == tag) {
        return;
    }
    while (at != 0 && cache->lines[at].tag != tag) {
        at = cache->lines[at].next;
    }
    if (at != 0) {
        take_out(cache, at);
        put_first(cache, at);
        return;
    }
    cache->misses++;
    if (cache->size == 0) {
        return;
    }
    if (cache->used < cache->size) {
        at = ++cache->used;
    } else {
        uint32_t *old;
        at = cache->lines[cache->newest].newer; /* around the ring: the oldest */
        for (old = bucket_of(cache, cache->lines[at].tag); *old != at;) {
            old = &cache->lines[*old].next;
        }
        *old = cache->lines[at].next;
        take_out(cache, at);
    }
    cache->lines[at].tag = tag;
    link = bucket_of(cache, tag);
    cache->lines[at].next = *link;
    *link = at;
    if (cache->used == 1) {
        cache->lines[at].older = cache->lines[at].newer = at;
        cache->newest = at;
    } else {
        put_first(cache, at);
    }
}

static bool in_flash(uint64_t at)
{
    unsigned k;
    for (k = 0; k < regions; k++) {
        if (at >= low[k] && at < high[k]) {
            return true;
        }
    }
    return false;
}

static void write_counts(void)
{
    unsigned k;
    fprintf(out, "mark %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", code.misses, constants.misses,
            unaligned);
    code.misses = constants.misses = unaligned = 0;
    for (k = 0; k < BUCKETS; k++) {
        struct block *block;
        for (block = blocks[k]; block != NULL; block = block->next) {
            if (block->count > 0) {
                fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", block->at,
                        block->instructions, block->count, block->taken);
                block->count = block->taken = 0;
            }
        }
    }
    fflush(out);
}

static void executed(unsigned cpu, void *data)
{
    struct block *block = data;
    (void)cpu;
    if (block->at == window_at) {
        counting = !counting;
        previous = NULL;
        return;
    }
    if (block->at == mark_at) {
        write_counts();
    }
    if (!counting || (block->at > window_at && block->at < window_end)) {
        return;
    }
    block->count++;
    if (previous != NULL && previous->end != block->at) {
        previous->taken++;
    }
    previous = block;
    if (in_flash(block->at)) {
        uint64_t tag;
        for (tag = block->at >> shift; tag <= (block->end - 1) >> shift; tag++) {
            use(&code, tag);
        }
    }
}

static void reached(unsigned cpu, uint32_t info, uint64_t at, void *data)
{
    const unsigned bytes = 1u << qemu_plugin_mem_size_shift(info);
    (void)cpu;
    (void)data;
    if (!counting) {
        return;
    }
    if ((at & (bytes - 1) & 3) != 0) {
        unaligned += bytes >= 4 && (at & 1) != 0 ? 2 : 1;
    }
    if (in_flash(at)) {
        struct cache *cache = constants.size > 0 ? &constants : &code;
        uint64_t tag;
        const uint64_t before = cache->misses;
        for (tag = at >> shift; tag <= (at + bytes - 1) >> shift; tag++) {
            use(cache, tag);
        }
        if (cache == &code) {
            constants.misses += cache->misses - before;
            cache->misses = before;
        }
    }
}

static struct block *find_block(uint64_t at, uint64_t instructions)
{
    struct block **first = &blocks[(at >> 1) % BUCKETS], *block;
    for (block = *first; block != NULL; block = block->next) {
        if (block->at == at && block->instructions == instructions) {
            return block;
        }
    }
    block = calloc(1, sizeof *block);
    if (block == NULL) {
        abort();
    }
    block->at = at;
    block->instructions = instructions;
    block->next = *first;
    *first = block;
    return block;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    const size_t count = qemu_plugin_tb_n_insns(tb);
    struct block *block = find_block(qemu_plugin_tb_vaddr(tb), count);
    size_t k;
    (void)id;
    for (k = 0; k < count; k++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, k);
        qemu_plugin_register_vcpu_mem_cb(insn, reached, 0 /* no registers */, 3 /* both ways */,
                                         NULL);
        block->end = qemu_plugin_insn_vaddr(insn) + qemu_plugin_insn_size(insn);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, block);
}

static bool read_argument(const char *word)
{
    uint64_t from, to;
    unsigned number;
    if (strncmp(word, "out=", 4) == 0) {
        out = fopen(word + 4, "w");
        return out != NULL;
    }
    if (sscanf(word, "window=%" SCNu64 "-%" SCNu64, &window_at, &window_end) == 2 ||
        sscanf(word, "mark=%" SCNu64, &mark_at) == 1) {
        return true;
    }
    if (sscanf(word, "flash=%" SCNu64 "-%" SCNu64, &from, &to) == 2 && regions < REGIONS) {
        low[regions] = from;
        high[regions++] = to;
        return true;
    }
    if (sscanf(word, "line=%u", &number) == 1) {
        for (shift = 0; 1u << shift < number; shift++) {
        }
        return true;
    }
    if (sscanf(word, "code=%u", &number) == 1 && number < LINES) {
        code.size = number;
        return true;
    }
    if (sscanf(word, "data=%u", &number) == 1 && number < LINES) {
        constants.size = number;
        return true;
    }
    return false;
}

API int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    int k;
    (void)info;
    for (k = 0; k < argc; k++) {
        if (!read_argument(argv[k])) {
            fprintf(stderr, "counter: cannot take %s\n", argv[k]);
            return -1;
        }
    }
    if (out == NULL) {
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
