/* Integer arithmetic that all int8 kernels share, and the Python reference repeats. */
#ifndef EXN_INTEGERS_H
#define EXN_INTEGERS_H

#include "exn_access.h"

#if defined(__ARM_FEATURE_DSP) && !defined(EXN_PLAIN)
#include <arm_acle.h>
#include <string.h>
#define EXN_DSP 1
#endif

/* A factor: multiplier / 2^(32 - EXN_SPARE + shift). Sums have EXN_SPARE bits to spare. */
typedef struct exn_factor {
    int32_t multiplier;
    int32_t shift;  /* at least 1 */
} exn_factor;

enum { EXN_SPARE = 3 };

/* `sum` times the factor, rounded to the nearest, halves up. */
EXN_INLINE int32_t exn_scale(int32_t sum, exn_factor factor)
{
    int32_t high = (int32_t)(((int64_t)(sum * (1 << EXN_SPARE)) * factor.multiplier) >> 32);
    return (high + ((int32_t)1 << (factor.shift - 1))) >> factor.shift;
}

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

EXN_INLINE int32_t exn_dot(int32_t sum, const int8_t *w, const int8_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        sum += w[i] * x[i];
    }
    return sum;
}

#ifdef EXN_DSP

EXN_INLINE uint32_t exn_word(const void *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* Of four numbers those at even and those at odd places, as pairs of 16 bits. */
EXN_INLINE uint32_t exn_even(uint32_t word)
{
    return (uint32_t)__sxtb16(word);
}

EXN_INLINE uint32_t exn_odd(uint32_t word)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

EXN_INLINE int32_t exn_pairs(uint32_t a, uint32_t b, int32_t sum)
{
    return __smlad((int16x2_t)a, (int16x2_t)b, sum);
}

#endif

/* Two rows of weights, `pitch` apart, over two runs of numbers: row by row, then run by run. */
EXN_INLINE void exn_dot_2x2(int32_t sums[4], const int8_t *w, uint32_t pitch, const int8_t *x,
                            uint32_t hop, uint32_t n)
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
#ifdef EXN_DSP
    for (; n >= 4; n -= 4, w += 4, x += 4) {
        uint32_t even, odd, a = exn_word(w), b = exn_word(w + pitch), run = exn_word(x);
        even = exn_even(run);
        odd = exn_odd(run);
        s0 = exn_pairs(exn_even(a), even, s0);
        s1 = exn_pairs(exn_even(b), even, s1);
        s0 = exn_pairs(exn_odd(a), odd, s0);
        s1 = exn_pairs(exn_odd(b), odd, s1);
        run = exn_word(x + hop);
        even = exn_even(run);
        odd = exn_odd(run);
        s2 = exn_pairs(exn_even(a), even, s2);
        s3 = exn_pairs(exn_even(b), even, s3);
        s2 = exn_pairs(exn_odd(a), odd, s2);
        s3 = exn_pairs(exn_odd(b), odd, s3);
    }
#endif
    for (; n > 0; n--, w++, x++) {
        s0 += w[0] * x[0];
        s1 += w[pitch] * x[0];
        s2 += w[0] * x[hop];
        s3 += w[pitch] * x[hop];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* Four rows of weights, `pitch` apart, over one run of numbers. */
EXN_INLINE void exn_dot_4x1(int32_t sums[4], const int8_t *w, uint32_t pitch, const int8_t *x,
                            uint32_t n)
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
#ifdef EXN_DSP
    uint32_t pitch3 = 3 * pitch;
    for (; n >= 4; n -= 4, w += 4, x += 4) {
        uint32_t run = exn_word(x), even = exn_even(run), odd = exn_odd(run), row = exn_word(w);
        s0 = exn_pairs(exn_even(row), even, s0);
        s0 = exn_pairs(exn_odd(row), odd, s0);
        row = exn_word(w + pitch);
        s1 = exn_pairs(exn_even(row), even, s1);
        s1 = exn_pairs(exn_odd(row), odd, s1);
        row = exn_word(w + 2 * pitch);
        s2 = exn_pairs(exn_even(row), even, s2);
        s2 = exn_pairs(exn_odd(row), odd, s2);
        row = exn_word(w + pitch3);
        s3 = exn_pairs(exn_even(row), even, s3);
        s3 = exn_pairs(exn_odd(row), odd, s3);
    }
#endif
    for (; n > 0; n--, w++, x++) {
        s0 += w[0] * x[0];
        s1 += w[pitch] * x[0];
        s2 += w[2 * pitch] * x[0];
        s3 += w[3 * pitch] * x[0];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* Weights over 16-bit states. */
EXN_INLINE int32_t exn_dot_s16(int32_t sum, const int8_t *w, const int16_t *h, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        sum += w[i] * h[i];
    }
    return sum;
}

/* Three rows of wide weights over states. */
EXN_INLINE void exn_dot_3x1_s16(int32_t sums[3], const int16_t *w, const int16_t *h, uint32_t n)
{
    const int16_t *w1 = w + n, *w2 = w1 + n;
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2];
    uint32_t i = 0;
#ifdef EXN_DSP
    for (; i + 2 <= n; i += 2) {
        uint32_t pair = exn_word(h + i);
        s0 = exn_pairs(exn_word(w + i), pair, s0);
        s1 = exn_pairs(exn_word(w1 + i), pair, s1);
        s2 = exn_pairs(exn_word(w2 + i), pair, s2);
    }
#endif
    for (; i < n; i++) {
        s0 += w[i] * h[i];
        s1 += w1[i] * h[i];
        s2 += w2[i] * h[i];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
}

#endif
