/* exp, the logistic function and tanh, with the same bits on every machine.
 *
 * There are no branches, so that compilers can work on several numbers at once. Errors are the
 * largest found over all of the range.
 */
#ifndef EXN_EXP_F32_H
#define EXN_EXP_F32_H

#include "exn_access.h"

#ifdef __FAST_MATH__
#error "fast math takes the rounding of exn_exp away"
#endif

typedef union exn_bits {
    float value;
    uint32_t bits;
} exn_bits;

/* x between -87.3 and 87.3, where exp and its inverse are normal numbers. Sizes compare as their
 * bits do; what is not a number counts as large.
 */
EXN_INLINE float exn_bounded(float x)
{
    const uint32_t sign = 0x80000000u, most = 0x42ae999au;
    uint32_t size;
    exn_bits both;
    both.value = x;
    size = both.bits & ~sign;
    both.bits = (both.bits & sign) | (size < most ? size : most);
    return both.value;
}

/* exp(x) to 9e-8 of itself, x within -87.3 ... 87.3 or else taken as the nearer of them. */
EXN_INLINE float exn_exp(float x)
{
    const float rounder = 12582912.0f; /* 3 * 2^22: added, only a whole number can stay */
    float n, p;
    exn_bits power;
    x = exn_bounded(x);
    n = x * 1.44269504f + rounder - rounder;
    /* exp(x) = 2^n exp(rest); log 2 is taken off in two parts */
    x = x - n * 0.693359375f;
    x = x - n * -2.12194440e-4f;
    p = 1.38145406e-3f;
    p = p * x + 8.36874545e-3f;
    p = p * x + 4.16683890e-2f;
    p = p * x + 1.66665211e-1f;
    p = p * x + 4.99999940e-1f;
    p = p * x * x + x;
    power.bits = (uint32_t)((int32_t)n + 127) << 23;
    return power.value + power.value * p;
}

/* 1 / (1 + exp(-x)), to 9e-8. */
EXN_INLINE float exn_sigmoid(float x)
{
    return 1.0f / (1.0f + exn_exp(-x));
}

/* tanh(x), to 1.4e-7. */
EXN_INLINE float exn_tanh(float x)
{
    float e = exn_exp(-2.0f * x);
    return (1.0f - e) / (1.0f + e);
}

#endif
