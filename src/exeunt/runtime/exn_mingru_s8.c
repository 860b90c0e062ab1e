/* Minimal gated units: h becomes k h + (1 - k) c, where k and c come from the input alone.
 *
 * Gates and rows of weights come unit by unit: keep, new. Of two units three words remain: k of
 * both in 16 bits each, and what k h is added to, for the one and for the other.
 */
#include "exn_cells_s8.h"
#include "exn_units_s8.h"

#ifdef EXN_DSP
/* In two registers: two gates become k, and what it leaves to the new, and a half. */
#define EXN_ACTIVATE(keep, fresh) \
    "ssat   " keep ", #17, " keep "\n\t" \
    "asr    r9, " keep ", #8\n\t" \
    "add    r9, %[lines], r9, lsl #3\n\t" \
    "ubfx   " keep ", " keep ", #1, #7\n\t" \
    "ldrd   r10, r11, [r9]\n\t" \
    "mla    " keep ", r11, " keep ", r10\n\t" \
    "ssat   " fresh ", #16, " fresh "\n\t" \
    "asr    r9, " fresh ", #7\n\t" \
    "add    r9, %[lines], r9, lsl #3\n\t" \
    "and    " fresh ", " fresh ", #127\n\t" \
    "ldrd   r10, r11, [r9]\n\t" \
    "mla    " fresh ", r11, " fresh ", r10\n\t" \
    "add    " keep ", %[half], " keep ", asr #8\n\t" \
    "asr    " fresh ", " fresh ", #7\n\t" \
    "rsb    r9, " keep ", #32768\n\t" \
    "mla    " fresh ", r9, " fresh ", %[half]\n\t"

static void activate_pairs(int32_t *gates, const int32_t *end)
{
    int32_t *words = gates;
    while (gates < end) {
        __asm__ __volatile__("ldmia  %[gates]!, {r4, r5, r6, r8}\n\t" EXN_ACTIVATE("r4", "r5")
                                 EXN_ACTIVATE("r6", "r8") "pkhbt  r4, r4, r6, lsl #16\n\t"
                             "stmia  %[words]!, {r4, r5, r8}"
                             : [gates] "+&r"(gates), [words] "+&r"(words)
                             : [lines] "r"(exn_tanh_lines + 256), [half] "r"(16384)
                             : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "memory");
    }
}
#else
/* Two gates, in 4096ths: k in 32768ths, and what it leaves to the new, and a half. */
EXN_INLINE int32_t activate(const int32_t *gates, int32_t *fresh)
{
    int32_t keep = exn_sigmoid(gates[0]);
    *fresh = (32768 - keep) * exn_hyperbolic(gates[1]) + 16384;
    return keep;
}

static void activate_pairs(int32_t *gates, const int32_t *end)
{
    int32_t *words = gates;
    for (; gates < end; gates += 4, words += 3) {
        int32_t first, second, keep = activate(gates, &first);
        keep |= activate(gates + 2, &second) * 65536;
        words[0] = keep;
        words[1] = first;
        words[2] = second;
    }
}
#endif

/* In place: words are written where gates have been read. */
static void activate_all(uint32_t hidden, int32_t *gates)
{
    int32_t *end = gates + 2 * hidden;
    if (hidden % 2 != 0) { /* a unit that is not there makes a pair of the last */
        end[0] = end[1] = 0;
    }
    activate_pairs(gates, end);
}

static void take_pixel(const exn_cell_s8 *cell, const int8_t *x, int32_t *gates)
{
    exn_project_pixel(cell, x, 2u * cell->hidden, gates);
    activate_all(cell->hidden, gates);
}

static void take_state(const exn_cell_s8 *cell, const int16_t *x, int32_t *gates)
{
    exn_project_state(cell, x, 2u * cell->hidden, gates);
    activate_all(cell->hidden, gates);
}

static void step(const exn_cell_s8 *cell, const int32_t *gates, int16_t *state)
{
    uint32_t pairs = cell->hidden / 2u;
    exn_blend(state, gates, pairs);
    if (cell->hidden % 2 != 0) {
        gates += 3 * pairs;
        state += 2 * pairs;
        *state = (int16_t)(((gates[0] & 0xffff) * *state + gates[1]) >> 15);
    }
}

#ifdef EXN_UNITS
static void activate_units(const exn_units_cell *cell, int32_t *gates)
{
    int32_t *news = gates + cell->pitch, *end = news;
    for (; gates < end; gates += EXN_ACROSS, news += EXN_ACROSS) {
        exn_across keep = exn_units_sigmoid(exn_across_read(gates));
        exn_across fresh = exn_units_hyperbolic(exn_across_read(news));
        exn_across_write(gates, keep);
        exn_across_write(news, (32768 - keep) * fresh + 16384);
    }
}

static void step_units(const exn_units_cell *cell, const int32_t *gates, int16_t *state)
{
    uint32_t unit;
    for (unit = 0; unit < cell->hidden; unit += EXN_ACROSS, gates += EXN_ACROSS) {
        exn_across keep = exn_across_read(gates), fresh = exn_across_read(gates + cell->pitch);
        exn_across old = exn_units_read(state, unit, cell->hidden);
        exn_units_write(state, unit, cell->hidden, (keep * old + fresh) >> 15);
    }
}

static const exn_units_kind_s8 units = {2, activate_units, step_units};

const exn_cell_kind_s8 exn_mingru_s8 = {take_pixel, take_state, step, &units};
#else
const exn_cell_kind_s8 exn_mingru_s8 = {take_pixel, take_state, step};
#endif
