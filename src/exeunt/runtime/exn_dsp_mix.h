/* Numbers times packed weights, for Cortex-M with the DSP extension; `exn_mix_s8.c` has it in C.
 *
 * Sums begin with the biases of their rows, those of two rows in one with 256 b + a. What is left
 * of 256 b + a without a is 256 b, whose output lies 8 bits higher.
 */
#ifndef EXN_DSP_MIX_H
#define EXN_DSP_MIX_H

#include "exn_s8.h"

#define EXN_WHOLE __attribute__((naked, noinline, unused))

/* Bytes of weights behind four rows of `inputs` numbers that a multiple of 4 leaves out. */
EXN_INLINE uint32_t exn_left_out(uint32_t inputs)
{
    return (inputs - 1) % 8 < 4 ? 16 : 0;
}

EXN_INLINE uint32_t exn_whole_fours(uint32_t inputs)
{
    return (inputs + 3) & ~(uint32_t)3;
}

#define EXN_WIDE_FOUR "ldrd   r12, lr, [r1], #8\n\t"
#define EXN_BYTE_FOUR \
    "ldr    lr, [r1], #4\n\t" \
    "sxtb16 r12, lr\n\t" \
    "sxtb16 lr, lr, ror #8\n\t"

/* Two rows of two numbers each. */
#define EXN_TWO_ROWS(w, x, both, first) \
    "smlad  " both ", " w ", " x ", " both "\n\t" \
    "sxtb16 " w ", " w "\n\t" \
    "smlad  " first ", " w ", " x ", " first "\n\t"

#define EXN_FOUR(four) \
    four "ldmia  r0!, {r8, r9, r10, r11}\n\t" \
    EXN_TWO_ROWS("r8", "r12", "r4", "r3") EXN_TWO_ROWS("r9", "lr", "r4", "r3") \
    EXN_TWO_ROWS("r10", "r12", "r6", "r5") EXN_TWO_ROWS("r11", "lr", "r6", "r5")

/* A sum becomes an output; `by` is EXN_FINE, or 8 more. */
#define EXN_OUTPUT(sum, multiplier, zero, by, to) \
    "smmla  " sum ", " sum ", " multiplier ", " zero "\n\t" \
    "ssat   " sum ", #8, " sum ", asr #" by "\n\t" \
    "strb   " sum ", " to "\n\t"

/* One pixel: r0 weights, r1 numbers, r2 their end, r3 to r6 sums (a, 256 b + a, c, 256 d + c), r7
 * biases and multipliers, r8 to r11 weights of four rows, r12 and r14 four numbers. `four` takes in
 * four numbers, of 2^log bytes together; sixteen of them in a round, whose `size` is that of the
 * code for four. */
#define EXN_ALL_FOURS(four, log, size) \
    __asm__ __volatile__( \
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t" \
        "mov    r7, r3\n\t" \
        "add    r12, sp, #36\n\t" \
        "ldm    r12, {r8, r9, r10, r11}\n\t" /* left out, end of outputs, zero, outputs */ \
        "sub    r4, r2, r1\n\t" \
        "lsr    r4, r4, #" log "\n\t" \
        "sub    r4, r4, #1\n\t" \
        "and    r4, r4, #3\n\t" \
        "add    r4, r4, #1\n\t" \
        "mov    r5, #" size "\n\t" \
        "mul    r4, r4, r5\n\t" \
        "adr    r5, 2f\n\t" \
        "sub    r5, r5, r4\n\t" \
        "orr    r5, r5, #1\n\t" \
        "lsl    r4, r10, #8\n\t" \
        "sub    sp, sp, #32\n\t" \
        "strd   r10, r8, [sp]\n\t" \
        "strd   r4, r11, [sp, #8]\n\t" \
        "strd   r1, r2, [sp, #16]\n\t" \
        "strd   r5, r9, [sp, #24]\n" \
        "0:\n\t" \
        "ldmia  r7!, {r3, r4, r5, r6}\n\t" \
        "ldrd   r1, r2, [sp, #16]\n\t" \
        "add    r4, r3, r4, lsl #8\n\t" \
        "add    r6, r5, r6, lsl #8\n\t" \
        "ldr    pc, [sp, #24]\n\t" \
        ".align 2\n" \
        "1:\n\t" EXN_FOUR(four) EXN_FOUR(four) EXN_FOUR(four) EXN_FOUR(four) \
        "2:\n\t" \
        "cmp    r1, r2\n\t" \
        "bne    1b\n\t" \
        "sub    r4, r4, r3\n\t" \
        "sub    r6, r6, r5\n\t" \
        "ldmia  r7!, {r8, r9, r10, r11}\n\t" \
        "ldm    sp, {r1, r2, r12, lr}\n\t" \
        "add    r0, r0, r2\n\t" \
        EXN_OUTPUT("r3", "r8", "r1", "1", "[lr], #1") \
        EXN_OUTPUT("r4", "r9", "r12", "9", "[lr], #1") \
        EXN_OUTPUT("r5", "r10", "r1", "1", "[lr], #1") \
        EXN_OUTPUT("r6", "r11", "r12", "9", "[lr], #1") \
        "ldr    r3, [sp, #28]\n\t" \
        "str    lr, [sp, #12]\n\t" \
        "cmp    lr, r3\n\t" \
        "bne    0b\n\t" \
        "add    sp, sp, #32\n\t" \
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, pc}")

/* Outputs of packed rows over widened numbers, a multiple of 4, four at a time up to `out_end`. */
EXN_WHOLE static void exn_mix_wide_fours(
    const int16_t *w EXN_UNUSED, const int16_t *x EXN_UNUSED, const int16_t *end EXN_UNUSED,
    const exn_four *fours EXN_UNUSED, uint32_t skip EXN_UNUSED, const int8_t *out_end EXN_UNUSED,
    int32_t fine_zero EXN_UNUSED, int8_t *out EXN_UNUSED)
{
    EXN_ALL_FOURS(EXN_WIDE_FOUR, "3", "56");
}

/* And over up to EXN_RUN numbers as they are. */
EXN_WHOLE static void exn_mix_byte_fours(
    const int16_t *w EXN_UNUSED, const int8_t *x EXN_UNUSED, const int8_t *end EXN_UNUSED,
    const exn_four *fours EXN_UNUSED, uint32_t skip EXN_UNUSED, const int8_t *out_end EXN_UNUSED,
    int32_t fine_zero EXN_UNUSED, int8_t *out EXN_UNUSED)
{
    EXN_ALL_FOURS(EXN_BYTE_FOUR, "2", "64");
}

/* Two pixels: r0 weights, r1 numbers, two of the one and the same two of the other in turn, r2 to r5
 * sums of the one, r6 to r9 of the other, r10 and r11 numbers, r12 and r14 weights. */
#define EXN_TWO_ROWS_TWICE(w, both, first, other_both, other_first) \
    "smlad  " both ", " w ", r10, " both "\n\t" \
    "smlad  " other_both ", " w ", r11, " other_both "\n\t" \
    "sxtb16 " w ", " w "\n\t" \
    "smlad  " first ", " w ", r10, " first "\n\t" \
    "smlad  " other_first ", " w ", r11, " other_first "\n\t"

#define EXN_FOUR_TWICE \
    "ldrd   r10, r11, [r1], #8\n\t" \
    "ldr    r12, [r0], #16\n\t" \
    EXN_TWO_ROWS_TWICE("r12", "r3", "r2", "r7", "r6") \
    "ldrd   r12, lr, [r0, #-12]\n\t" \
    EXN_TWO_ROWS_TWICE("lr", "r5", "r4", "r9", "r8") \
    "ldrd   r10, r11, [r1], #8\n\t" \
    EXN_TWO_ROWS_TWICE("r12", "r3", "r2", "r7", "r6") \
    "ldr    lr, [r0, #-4]\n\t" \
    EXN_TWO_ROWS_TWICE("lr", "r5", "r4", "r9", "r8")

/* The same of two pixels, whose widened numbers lie in turn, two and two; `apart` says how far
 * behind those of the first the outputs of the second lie. */
EXN_WHOLE static void exn_mix_twice(
    const int16_t *w EXN_UNUSED, const int16_t *x EXN_UNUSED, const int16_t *end EXN_UNUSED,
    const exn_four *fours EXN_UNUSED, uint32_t skip EXN_UNUSED, const int8_t *out_end EXN_UNUSED,
    int32_t fine_zero EXN_UNUSED, int8_t *out EXN_UNUSED, int32_t apart EXN_UNUSED)
{
    __asm__ __volatile__(
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "mov    lr, r3\n\t"
        "add    r12, sp, #36\n\t"
        "ldm    r12, {r6, r7, r8, r9, r10}\n\t"
        "sub    r4, r2, r1\n\t"
        "lsr    r4, r4, #4\n\t"
        "sub    r4, r4, #1\n\t"
        "and    r4, r4, #3\n\t"
        "add    r4, r4, #1\n\t"
        "mov    r5, #100\n\t" /* bytes of code for four */
        "mul    r4, r4, r5\n\t"
        "adr    r5, 2f\n\t"
        "sub    r5, r5, r4\n\t"
        "orr    r5, r5, #1\n\t"
        "add    r10, r9, r10\n\t"
        "sub    sp, sp, #36\n\t"
        "strd   r8, r10, [sp]\n\t"
        "strd   r9, r3, [sp, #8]\n\t"
        "strd   r6, r7, [sp, #16]\n\t"
        "strd   r1, r5, [sp, #24]\n\t"
        "str    r2, [sp, #32]\n"
        "0:\n\t"
        "ldmia  lr!, {r2, r3, r4, r5}\n\t"
        "str    lr, [sp, #12]\n\t"
        "add    r3, r2, r3, lsl #8\n\t"
        "add    r5, r4, r5, lsl #8\n\t"
        "mov    r6, r2\n\t"
        "mov    r7, r3\n\t"
        "mov    r8, r4\n\t"
        "mov    r9, r5\n\t"
        "ldr    r1, [sp, #24]\n\t"
        "ldr    pc, [sp, #28]\n\t"
        ".align 2\n"
        "1:\n\t" EXN_FOUR_TWICE EXN_FOUR_TWICE EXN_FOUR_TWICE EXN_FOUR_TWICE
        "2:\n\t"
        "ldr    r12, [sp, #32]\n\t"
        "cmp    r1, r12\n\t"
        "bne    1b\n\t"
        "sub    r3, r3, r2\n\t"
        "sub    r5, r5, r4\n\t"
        "sub    r7, r7, r6\n\t"
        "sub    r9, r9, r8\n\t"
        "ldm    sp, {r1, r11, r12, lr}\n\t" /* zero, outputs of the other, of the one, biases */
        "ldr    r10, [lr], #4\n\t"
        EXN_OUTPUT("r2", "r10", "r1", "1", "[r12], #2")
        EXN_OUTPUT("r6", "r10", "r1", "1", "[r11], #2")
        "ldmia  lr!, {r2, r6, r10}\n\t"
        EXN_OUTPUT("r4", "r6", "r1", "1", "[r12], #-1")
        EXN_OUTPUT("r8", "r6", "r1", "1", "[r11], #-1")
        "lsl    r1, r1, #8\n\t"
        EXN_OUTPUT("r3", "r2", "r1", "9", "[r12], #2")
        EXN_OUTPUT("r7", "r2", "r1", "9", "[r11], #2")
        EXN_OUTPUT("r5", "r10", "r1", "9", "[r12], #1")
        EXN_OUTPUT("r9", "r10", "r1", "9", "[r11], #1")
        "ldrd   r2, r3, [sp, #16]\n\t"
        "strd   r11, r12, [sp, #4]\n\t"
        "add    r0, r0, r2\n\t"
        "cmp    r12, r3\n\t"
        "bne    0b\n\t"
        "add    sp, sp, #36\n\t"
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, pc}");
}

#endif
