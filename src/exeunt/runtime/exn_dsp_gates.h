/* What pixels add to gates, for Cortex-M with the DSP extension; `exn_cells_s8.h` has it in C.
 *
 * All registers are needed: r0 weights, r1 numbers, r2 their end, r3 to r6 sums (256 b + a, a,
 * 256 d + c, c), r7 rows, r8 to r11 weights of four rows, r12 and r14 four numbers. The stack holds
 * the first number, the bytes of weights that are left out behind four rows, the end of the gates,
 * the next gate, and where the loop over numbers begins.
 */
#ifndef EXN_DSP_GATES_H
#define EXN_DSP_GATES_H

#include "exn_dsp_mix.h"

#define EXN_GATE_FOUR(first, sum) \
    EXN_WIDE_FOUR "ldmia  r0!, {r8, r9, r10, r11}\n\t" \
    first " r3, r8, r12" sum(r3) "\n\t" \
    "sxtb16 r8, r8\n\t" \
    first " r4, r8, r12" sum(r4) "\n\t" \
    "smlad  r3, r9, lr, r3\n\t" \
    "sxtb16 r9, r9\n\t" \
    "smlad  r4, r9, lr, r4\n\t" \
    first " r5, r10, r12" sum(r5) "\n\t" \
    "sxtb16 r10, r10\n\t" \
    first " r6, r10, r12" sum(r6) "\n\t" \
    "smlad  r5, r11, lr, r5\n\t" \
    "sxtb16 r11, r11\n\t" \
    "smlad  r6, r11, lr, r6\n\t"
#define EXN_NOTHING(sum) ""
#define EXN_ADDED(sum) ", " #sum
#define EXN_FIRST_GATES EXN_GATE_FOUR("smuad ", EXN_NOTHING)
#define EXN_NEXT_GATES EXN_GATE_FOUR("smlad ", EXN_ADDED)

/* In r8 what a sum makes of the next row. */
#define EXN_SCALED_SUM(sum, spare, offset) \
    "ldmia  r7!, {r8, r9, r10}\n\t" \
    "add    r8, r8, " sum ", " spare "\n\t" /* EXN_SPARE */ \
    "smmul  r8, r8, r9\n\t" \
    "asrs   r8, r8, r10\n\t" \
    "adc    r8, r8, " offset "\n\t"
#define EXN_GATE(sum, spare) \
    EXN_SCALED_SUM(sum, spare, "#0") \
    "str    r8, [lr], #4\n\t"

/* Gates of packed rows over widened numbers, a multiple of 4, four at a time up to `gates_end`. */
EXN_WHOLE static void exn_gate_fours(
    const int16_t *w EXN_UNUSED, const int16_t *x EXN_UNUSED, const int16_t *end EXN_UNUSED,
    const exn_row *row EXN_UNUSED, uint32_t skip EXN_UNUSED, const int32_t *gates_end EXN_UNUSED,
    int32_t zero EXN_UNUSED, int32_t *gates EXN_UNUSED)
{
    __asm__ __volatile__(
    "push   {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
    "mov    r7, r3\n\t"
    "add    r12, sp, #36\n\t"
    "ldm    r12, {r9, r10, r11, r12}\n\t"
    "sub    r4, r2, r1\n\t"
    "lsr    r4, r4, #3\n\t"
    "sub    r4, r4, #1\n\t"
    "and    r4, r4, #3\n\t"
    "mov    r5, #56\n\t"
    "mul    r4, r4, r5\n\t"
    "adr    r5, 2f\n\t"
    "sub    r5, r5, r4\n\t"
    "orr    r5, r5, #1\n\t"
    "sub    sp, sp, #24\n\t"
    "str    r5, [sp, #20]\n\t"
    "stm    sp, {r1, r9, r10, r11, r12}\n"
    "0:\n\t" EXN_FIRST_GATES
    "ldr    pc, [sp, #20]\n\t"
    ".align 2\n"
    "1:\n\t" EXN_NEXT_GATES EXN_NEXT_GATES EXN_NEXT_GATES EXN_NEXT_GATES
    "2:\n\t"
    "cmp    r1, r2\n\t"
    "bne    1b\n\t"
    "sub    r3, r3, r4\n\t"
    "sub    r5, r5, r6\n\t"
    "ldm    sp, {r1, r8, r11, r12, lr}\n\t"
    "add    r0, r0, r8\n\t"
    EXN_GATE("r4", "lsl #3") EXN_GATE("r3", "asr #5")
    EXN_GATE("r6", "lsl #3") EXN_GATE("r5", "asr #5")
    "str    lr, [sp, #16]\n\t"
    "cmp    lr, r11\n\t"
    "bne    0b\n\t"
    "add    sp, sp, #24\n\t"
    "pop    {r4, r5, r6, r7, r8, r9, r10, r11, pc}");
}

#endif
