/* A depthwise filter of nine taps, for Cortex-M with the DSP extension; `exn_filter_s8.c` has it in
 * C.
 *
 * All registers are needed: r0 weights, r1 taps, r2 the first of four channels, r3 to r6 their sums,
 * r7 to r11 two taps, r12 biases and multipliers, r14 outputs. The stack holds `old`, the zero and
 * the channels.
 */
#ifndef EXN_DSP_FILTER_H
#define EXN_DSP_FILTER_H

#include "exn_s8.h"

/* Four channels of two taps: the first two of both, then the others. */
#define EXN_TWO_OF_NINE(at) \
    "ldrd   r7, r8, [r1, #" at "]\n\t" \
    "ldr    r9, [r7, r2]\n\t" \
    "ldr    r10, [r8, r2]\n\t" \
    "pkhbt  r7, r9, r10, lsl #16\n\t" \
    "pkhtb  r8, r10, r9, asr #16\n\t" \
    "ldrd   r9, r10, [r0], #8\n\t" \
    "sxtb16 r11, r7\n\t" \
    "smlad  r3, r11, r9, r3\n\t" \
    "sxtb16 r11, r7, ror #8\n\t" \
    "smlad  r4, r11, r10, r4\n\t" \
    "ldrd   r9, r10, [r0], #8\n\t" \
    "sxtb16 r11, r8\n\t" \
    "smlad  r5, r11, r9, r5\n\t" \
    "sxtb16 r11, r8, ror #8\n\t" \
    "smlad  r6, r11, r10, r6\n\t"

#define EXN_FILTERED(sum, multiplier) \
    "smmla  " sum ", " sum ", " multiplier ", r11\n\t" \
    "ssat   " sum ", #8, " sum ", asr #1\n\t" /* EXN_FINE */ \
    "strb   " sum ", [lr], #1\n\t"

/* Filters so many channels, a multiple of 4; what lies at `out` goes to `old` before, unless that is
 * NULL. */
__attribute__((naked, noinline)) static void exn_filter_nine(
    const int16_t *w EXN_UNUSED, const int8_t *const *taps EXN_UNUSED,
    const exn_four *fours EXN_UNUSED, int8_t *out EXN_UNUSED, int8_t *old EXN_UNUSED,
    int32_t fine_zero EXN_UNUSED, uint32_t channels EXN_UNUSED)
{
    __asm__ __volatile__(
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "mov    r12, r2\n\t"
        "mov    lr, r3\n\t"
        "mov    r2, #0\n"
        "1:\n\t"
        "ldmia  r12!, {r3, r4, r5, r6}\n\t"
        EXN_TWO_OF_NINE("0") EXN_TWO_OF_NINE("8") EXN_TWO_OF_NINE("16") EXN_TWO_OF_NINE("24")
        "ldr    r7, [r1, #32]\n\t"
        "ldr    r8, [r7, r2]\n\t"
        "ldrd   r9, r10, [r0], #8\n\t"
        "sxtb16 r11, r8\n\t"
        "sxtb16 r8, r8, ror #8\n\t"
        "smlabb r3, r11, r9, r3\n\t"
        "smlabt r4, r8, r9, r4\n\t"
        "smlatb r5, r11, r10, r5\n\t"
        "smlatt r6, r8, r10, r6\n\t"
        "ldrd   r7, r11, [sp, #36]\n\t"
        "cbz    r7, 2f\n\t"
        "ldr    r8, [lr]\n\t"
        "str    r8, [r7, r2]\n"
        "2:\n\t"
        "ldmia  r12!, {r7, r8, r9, r10}\n\t"
        EXN_FILTERED("r3", "r7") EXN_FILTERED("r4", "r8") EXN_FILTERED("r5", "r9")
        EXN_FILTERED("r6", "r10")
        "ldr    r7, [sp, #44]\n\t"
        "add    r2, r2, #4\n\t"
        "cmp    r2, r7\n\t"
        "bne    1b\n\t"
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, pc}");
}

#endif
