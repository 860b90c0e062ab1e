/* A step of a GRU, for Cortex-M with the DSP extension; `exn_gru_s8.c` has it in C.
 *
 * All registers are needed: r0 weights, r1 rows, r4 to r6 sums of reset, update and new; while
 * states are multiplied r7 points to them, r2, r3, r12 and r14 hold eight of them and r8 to r11
 * eight weights. Afterwards r2 points to gates, r3 to the unit's state, r12 to the lines of tanh.
 * The stack holds gates, the unit's state, the states before, the lines, the end of the states, and
 * where the product of the states after the first eight begins.
 */
#ifndef EXN_DSP_GRU_H
#define EXN_DSP_GRU_H

#include "exn_cells_s8.h"

#define EXN_EIGHT(first, sum, added) \
    "ldmia  r0!, {r8, r9, r10, r11}\n\t" \
    first " " sum ", r8, r2" added "\n\t" \
    "smlad  " sum ", r9, r3, " sum "\n\t" \
    "smlad  " sum ", r10, r12, " sum "\n\t" \
    "smlad  " sum ", r11, lr, " sum "\n\t"
#define EXN_FIRST_STATES \
    "ldmia  r7!, {r2, r3, r12, lr}\n\t" EXN_EIGHT("smuad ", "r4", "") \
    EXN_EIGHT("smuad ", "r5", "") EXN_EIGHT("smuad ", "r6", "")
#define EXN_NEXT_STATES \
    "ldmia  r7!, {r2, r3, r12, lr}\n\t" EXN_EIGHT("smlad ", "r4", ", r4") \
    EXN_EIGHT("smlad ", "r5", ", r5") EXN_EIGHT("smlad ", "r6", ", r6")

/* In r8 what the sums of the next row make, and `offset` more. */
#define EXN_SCALED(sum, offset) \
    "ldmia  r1!, {r8, r9, r10}\n\t" \
    "add    r8, r8, " sum ", lsl #3\n\t" /* EXN_SPARE */ \
    "smmul  r8, r8, r9\n\t" \
    "asrs   r8, r8, r10\n\t" \
    "adc    r8, r8, " offset "\n\t"

/* The next gate's logistic function. */
#define EXN_SIGMOID(sum) \
    "ldr    r11, [r2], #4\n\t" EXN_SCALED(sum, "r11") \
    "ssat   r8, #17, r8\n\t" \
    "asr    r9, r8, #8\n\t" \
    "add    r9, r12, r9, lsl #3\n\t" \
    "ubfx   r8, r8, #1, #7\n\t" \
    "ldrd   r10, r11, [r9]\n\t" \
    "mla    " sum ", r11, r8, r10\n\t" \
    "asr    " sum ", " sum ", #8\n\t" \
    "add    " sum ", " sum ", #16384\n\t"

/* Steps the units up to `end`: three gates each; `before` are all states, `filled` up to a multiple
 * of 8, up to EXN_STATES. */
__attribute__((naked, noinline)) static void exn_step_units(
    const int16_t *w EXN_UNUSED, const exn_row *row EXN_UNUSED, const int32_t *gates EXN_UNUSED,
    int16_t *state EXN_UNUSED, const int16_t *before EXN_UNUSED, const int16_t *end EXN_UNUSED,
    uint32_t filled EXN_UNUSED)
{
    __asm__ __volatile__(
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "add    r12, sp, #36\n\t"
        "ldm    r12, {r7, r9, r10}\n\t"
        "ldr    r8, 4f\n\t"
        "adr    r11, 3f\n\t" /* eight states take 64 bytes of code */
        "sub    r10, r10, #8\n\t"
        "sub    r11, r11, r10, lsl #3\n\t"
        "orr    r11, r11, #1\n\t"
        "push   {r2, r3, r7, r8, r9, r11}\n"
        "1:\n\t" EXN_FIRST_STATES
        "ldr    pc, [sp, #20]\n\t"
        ".align 2\n\t"
        EXN_NEXT_STATES EXN_NEXT_STATES EXN_NEXT_STATES
        "3:\n\t"
        "ldm    sp, {r2, r3, r7, r12, lr}\n\t"
        EXN_SIGMOID("r4") EXN_SIGMOID("r5") EXN_SCALED("r6", "#0")
        "ssat   r8, #17, r8\n\t"
        "sub    r8, r8, #1\n\t"
        "ssat   r8, #17, r8\n\t"
        "mla    r8, r8, r4, r4\n\t"
        "ldr    r11, [r2], #4\n\t"
        "add    r8, r8, #16384\n\t"
        "add    r8, r11, r8, asr #15\n\t"
        "ssat   r8, #16, r8\n\t"
        "asr    r9, r8, #7\n\t"
        "add    r9, r12, r9, lsl #3\n\t"
        "and    r8, r8, #127\n\t"
        "ldrd   r10, r11, [r9]\n\t"
        "mla    r8, r11, r8, r10\n\t"
        "asr    r8, r8, #7\n\t"
        "ldrsh  r9, [r3]\n\t"
        "sub    r9, r9, r8\n\t"
        "mul    r9, r5, r9\n\t"
        "add    r9, r9, #16384\n\t"
        "add    r8, r8, r9, asr #15\n\t"
        "strh   r8, [r3], #2\n\t"
        "cmp    r3, lr\n\t"
        "strd   r2, r3, [sp]\n\t"
        "bne    1b\n\t"
        "add    sp, sp, #24\n\t"
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"
        ".align 2\n"
        "4:\n\t"
        ".word  exn_tanh_lines + 2048"); /* the middle one */
}

#endif
