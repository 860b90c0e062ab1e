/* Integer arithmetic that all int8 kernels share, and the Python reference repeats. */
#ifndef EXN_INTEGERS_H
#define EXN_INTEGERS_H

#include "exn_access.h"

#if defined(__ARM_FEATURE_DSP) && !defined(EXN_PLAIN)
#include <arm_acle.h>
#include <string.h>
#define EXN_DSP 1
#endif

/* A factor: multiplier / 2^(32 + shift). */
typedef struct exn_factor {
    int32_t multiplier;
    int32_t shift;
} exn_factor;

/* `sum` times the factor, rounded to the nearest, halves up. */
EXN_INLINE int32_t exn_scale(int32_t sum, exn_factor factor)
{
    int32_t high;
    if (factor.shift < 1) {
        sum = (int32_t)((uint32_t)sum << (1 - factor.shift));
        factor.shift = 1;
    }
    high = (int32_t)(((int64_t)sum * factor.multiplier) >> 32);
    return (high + ((int32_t)1 << (factor.shift - 1))) >> factor.shift;
}

EXN_INLINE int32_t exn_clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Adds the products of `n` numbers to one, two or four sums. */
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

/* Four numbers as two pairs: the even ones, the odd ones. */
#define EXN_EVEN(word) __sxtb16(word)
#define EXN_ODD(word) __sxtb16((word) >> 8 | (word) << 24)

EXN_INLINE void exn_dot_2x2(int32_t sums[4], const int8_t *w0, const int8_t *w1, const int8_t *x0,
                            const int8_t *x1, uint32_t n)
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    for (; n >= 4; n -= 4, w0 += 4, w1 += 4, x0 += 4, x1 += 4) {
        uint32_t a = exn_word(w0), b = exn_word(w1), c = exn_word(x0), d = exn_word(x1);
        uint32_t ae = EXN_EVEN(a), ao = EXN_ODD(a), be = EXN_EVEN(b), bo = EXN_ODD(b);
        uint32_t ce = EXN_EVEN(c), co = EXN_ODD(c), de = EXN_EVEN(d), dO = EXN_ODD(d);
        s0 = __smlad(ae, ce, s0);
        s1 = __smlad(be, ce, s1);
        s2 = __smlad(ae, de, s2);
        s3 = __smlad(be, de, s3);
        s0 = __smlad(ao, co, s0);
        s1 = __smlad(bo, co, s1);
        s2 = __smlad(ao, dO, s2);
        s3 = __smlad(bo, dO, s3);
    }
    sums[0] = exn_dot(s0, w0, x0, n);
    sums[1] = exn_dot(s1, w1, x0, n);
    sums[2] = exn_dot(s2, w0, x1, n);
    sums[3] = exn_dot(s3, w1, x1, n);
}

/* Two rows of weights over one run of numbers. */
EXN_INLINE void exn_dot_2x1(int32_t sums[2], const int8_t *w0, const int8_t *w1, const int8_t *x,
                            uint32_t n)
{
    int32_t s0 = sums[0], s1 = sums[1];
    for (; n >= 4; n -= 4, w0 += 4, w1 += 4, x += 4) {
        uint32_t a = exn_word(w0), b = exn_word(w1), c = exn_word(x);
        uint32_t ce = EXN_EVEN(c), co = EXN_ODD(c);
        s0 = __smlad(EXN_EVEN(a), ce, s0);
        s1 = __smlad(EXN_EVEN(b), ce, s1);
        s0 = __smlad(EXN_ODD(a), co, s0);
        s1 = __smlad(EXN_ODD(b), co, s1);
    }
    sums[0] = exn_dot(s0, w0, x, n);
    sums[1] = exn_dot(s1, w1, x, n);
}

#else

EXN_INLINE void exn_dot_2x2(int32_t sums[4], const int8_t *w0, const int8_t *w1, const int8_t *x0,
                            const int8_t *x1, uint32_t n)
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    uint32_t i;
    for (i = 0; i < n; i++) {
        s0 += w0[i] * x0[i];
        s1 += w1[i] * x0[i];
        s2 += w0[i] * x1[i];
        s3 += w1[i] * x1[i];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

EXN_INLINE void exn_dot_2x1(int32_t sums[2], const int8_t *w0, const int8_t *w1, const int8_t *x,
                            uint32_t n)
{
    sums[0] = exn_dot(sums[0], w0, x, n);
    sums[1] = exn_dot(sums[1], w1, x, n);
}

#endif

/* The product sum of weights and 16-bit states. */
EXN_INLINE int32_t exn_dot_s16(int32_t sum, const int8_t *w, const int16_t *h, uint32_t n)
{
    uint32_t i;
#ifdef EXN_DSP
    for (; n >= 4; n -= 4, w += 4, h += 4) {
        uint32_t a = exn_word(w), b = exn_word(h), c = exn_word(h + 2);
        uint32_t even = EXN_EVEN(a), odd = EXN_ODD(a);
        /* h0 h2 and h1 h3 */
        sum = __smlad(even, (b & 0xffffu) | c << 16, sum);
        sum = __smlad(odd, b >> 16 | (c & 0xffff0000u), sum);
    }
#endif
    for (i = 0; i < n; i++) {
        sum += w[i] * h[i];
    }
    return sum;
}

#endif
