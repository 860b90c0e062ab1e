/* A pixel times packed weights, for Cortex-M with the DSP extension; `exn_mix_s8.c` has it in C.
 *
 * All registers are needed: r0 weights, r1 numbers, r2 their end, r3 to r6 sums (256 b + a, a,
 * 256 d + c, c), r7 rows, r8 to r11 weights of four rows, r12 and r14 four numbers. The stack holds
 * the first number, the end of the outputs, `zero`, the next output, and where the loop over numbers
 * begins.
 */
#ifndef EXN_DSP_MIX_H
#define EXN_DSP_MIX_H

#include "exn_s8.h"

#define EXN_FOUR(first, sum) \
    "ldrd   r12, lr, [r1], #8\n\t" \
    "ldmia  r0!, {r8, r9, r10, r11}\n\t" \
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
#define EXN_FIRST_FOUR EXN_FOUR("smuad ", EXN_NOTHING)
#define EXN_NEXT_FOUR EXN_FOUR("smlad ", EXN_ADDED)

#define EXN_OUTPUT(sum, spare) \
    "ldmia  r7!, {r8, r9, r10}\n\t" \
    "add    r8, r8, " sum ", " spare "\n\t" /* EXN_SPARE */ \
    "smmul  r8, r8, r9\n\t" \
    "asrs   r8, r8, r10\n\t" \
    "adc    r8, r8, r12\n\t" \
    "ssat   r8, #8, r8\n\t" \
    "strb   r8, [lr], #1\n\t"

/* Outputs of packed rows over widened numbers, a multiple of 8, four at a time up to `out_end`. */
__attribute__((naked, noinline, unused)) static void exn_mix_fours(
    const int16_t *w EXN_UNUSED, const int16_t *x EXN_UNUSED, const int16_t *end EXN_UNUSED,
    const exn_row *row EXN_UNUSED, int8_t *out EXN_UNUSED, const int8_t *out_end EXN_UNUSED,
    int32_t zero EXN_UNUSED)
{
    __asm__ __volatile__(
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "mov    r7, r3\n\t"
        "ldr    lr, [sp, #36]\n\t"
        "ldr    r11, [sp, #40]\n\t"
        "ldr    r12, [sp, #44]\n\t"
        "sub    r4, r2, r1\n\t" /* 16 for eight numbers */
        "adr    r5, 3f\n\t"
        "cmp    r4, #16\n\t"
        "beq    4f\n\t"
        "adr    r5, 1f\n\t"
        "tst    r4, #16\n\t"
        "bne    4f\n\t"
        "adr    r5, 2f\n"
        "4:\n\t"
        "orr    r5, r5, #1\n\t"
        "sub    sp, sp, #20\n\t"
        "str    r5, [sp, #16]\n\t"
        "stm    sp, {r1, r11, r12, lr}\n"
        "0:\n\t" EXN_FIRST_FOUR EXN_NEXT_FOUR
        "ldr    pc, [sp, #16]\n\t"
        ".align 2\n"
        "1:\n\t" EXN_NEXT_FOUR EXN_NEXT_FOUR
        ".align 2\n"
        "2:\n\t" EXN_NEXT_FOUR EXN_NEXT_FOUR
        "cmp    r1, r2\n\t"
        "bne    1b\n\t"
        ".align 2\n"
        "3:\n\t"
        "sub    r3, r3, r4\n\t"
        "sub    r5, r5, r6\n\t"
        "ldm    sp, {r1, r11, r12, lr}\n\t"
        EXN_OUTPUT("r4", "lsl #3") EXN_OUTPUT("r3", "asr #5")
        EXN_OUTPUT("r6", "lsl #3") EXN_OUTPUT("r5", "asr #5")
        "str    lr, [sp, #12]\n\t"
        "cmp    lr, r11\n\t"
        "bne    0b\n\t"
        "add    sp, sp, #20\n\t"
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, pc}");
}

#endif
