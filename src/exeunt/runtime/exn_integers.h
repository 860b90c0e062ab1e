/* Integer arithmetic that all int8 kernels share, and the Python reference repeats.
 *
 * What takes most of the time is said four times, with the same numbers: in plain C, in C for
 * compilers that make vectors, for x86, and for Cortex-M with the DSP extension, which needs the
 * registers that only an optimiser frees. EXN_PLAIN keeps to the first.
 */
#ifndef EXN_INTEGERS_H
#define EXN_INTEGERS_H

#include "exn_access.h"

#include <string.h>

#if defined(EXN_PLAIN)
#elif defined(__GNUC__) && defined(__thumb2__) && defined(__ARM_FEATURE_DSP) && \
    defined(__ARM_FEATURE_UNALIGNED) && !defined(__ARMEB__) && defined(__OPTIMIZE__)
#define EXN_DSP 1
#elif defined(__GNUC__) && defined(__SSE2__)
#define EXN_X86 1
#elif defined(__ARM_NEON)
#define EXN_VECTOR 1
#endif

/* Units of recurrent cells lie side by side in vectors. */
#if (defined(EXN_X86) && defined(__AVX2__)) || (defined(EXN_VECTOR) && defined(__aarch64__))
#define EXN_UNITS 1
#endif

/* Of arrays that are read by words. */
#if defined(__GNUC__)
#define EXN_WORDS __attribute__((aligned(4)))
#else
#define EXN_WORDS
#endif

/* Sums have so many bits to spare. */
enum { EXN_SPARE = 3 };

/* A factor: multiplier / 2^(32 - EXN_SPARE + shift). */
typedef struct exn_factor {
    int32_t multiplier;
    int32_t shift;  /* at least 1 */
} exn_factor;

/* What a row of weights adds to its sum, and the factor of both. */
typedef struct exn_row {
    int32_t bias;  /* times 2^EXN_SPARE */
    int32_t multiplier;
    int32_t shift;
} exn_row;

/* Of four rows of weights: what is added to their sums, and what these are multiplied with then, an
 * output being 1 / 2^(32 + EXN_FINE) of that. No row's sum reaches 2^23, its bias in. */
typedef struct exn_four {
    int32_t biases[4], multipliers[4];
} exn_four;

enum { EXN_FINE = 1 };

EXN_INLINE int32_t exn_clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* The nearest integer to sum / count; halves up. */
EXN_INLINE int32_t exn_divide(int32_t sum, int32_t count)
{
    int32_t twice = 2 * sum + count, quotient = twice / (2 * count);
    return twice % (2 * count) < 0 ? quotient - 1 : quotient;
}

/* A straight line. */
typedef struct exn_line {
    int32_t start, slope;
} exn_line;

/* Channels that a fused block expands and filters at once. */
enum { EXN_BLOCK = 16 };

/* Of four rows of packed weights, two of them 256 b + a: the sums of both, and those of a alone. */
typedef struct exn_packed_sums {
    uint32_t ab, a, cd, c;
} exn_packed_sums;

/* So many numbers leave a sum of 256 b + a that tells b: 512 * 127 * 128 < 2^23. */
enum { EXN_RUN = 512 };

/* States of a cell, at most. */
enum { EXN_STATES = 32 };

#ifdef EXN_DSP
#include "exn_dsp.h"
#else
#include "exn_plain.h"
#endif

/* `sum` times the factor, rounded to the nearest, halves up. */
EXN_INLINE int32_t exn_scale(int32_t sum, exn_factor factor)
{
    int32_t high = exn_high(sum * (1 << EXN_SPARE), factor.multiplier);
    return exn_halve(high, factor.shift, 0);
}

EXN_INLINE void exn_unpack(int32_t sums[4], const exn_packed_sums *from)
{
    sums[0] += (int32_t)from->a;
    sums[1] += (int32_t)(from->ab - from->a) >> 8;
    sums[2] += (int32_t)from->c;
    sums[3] += (int32_t)(from->cd - from->c) >> 8;
}

/* Four rows of packed weights over widened numbers, up to EXN_RUN; gives the rows behind. */
EXN_INLINE const int16_t *exn_dot_4_wide(int32_t sums[4], const int16_t *w, const int16_t *x,
                                         uint32_t n)
{
    exn_packed_sums found = {0, 0, 0, 0};
    w = exn_rows_wide(&found, w, x, n);
    exn_unpack(sums, &found);
    return w;
}

/* And over any count of numbers as they are. */
EXN_INLINE const int16_t *exn_dot_4(int32_t sums[4], const int16_t *w, const int8_t *x, uint32_t n)
{
    EXN_WORDS int8_t last[8] = {0};
    while (n > 0) {
        exn_packed_sums found = {0, 0, 0, 0};
        uint32_t run = n < EXN_RUN ? n & ~(uint32_t)7 : EXN_RUN;
        if (run == 0) {
            memcpy(last, x, n);
            x = last;
            run = n = 8;
        }
        w = exn_rows(&found, w, x, run);
        exn_unpack(sums, &found);
        x += run;
        n -= run;
    }
    return w;
}

#endif
