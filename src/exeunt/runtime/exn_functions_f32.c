/* Functions of single numbers, with the same bits on every machine. */
#include "exn_exp_f32.h"
#include "exn_f32.h"

/* What each does to so many numbers; a and b settle it, where it says so. */
#define FUNCTION(name, value) \
    void exn_##name##_f32(float *numbers, uint32_t n, float a, float b) \
    { \
        uint32_t i; \
        (void)a; \
        (void)b; \
        for (i = 0; i < n; i++) { \
            float x = numbers[i]; \
            numbers[i] = value; \
        } \
    }

/* 1 where x is above all that matters, and x / 6 + 1 / 2 between. */
EXN_INLINE float gate(float x)
{
    return exn_limit(x + 3.0f, 0.0f, 6.0f) / 6.0f;
}

/* The share of a normal distribution that lies below x, to 2e-7, where it is small to 3e-5 of itself
 * (Abramowitz and Stegun 1964, 7.1.26). */
EXN_INLINE float share_below(float x)
{
    float size = x < 0.0f ? -x : x;
    float t = 1.0f / (1.0f + 0.2316418882f * size);
    float p = 0.5307027145f;
    p = p * t - 0.7265760135f;
    p = p * t + 0.7107068705f;
    p = p * t - 0.142248368f;
    p = p * t + 0.127414796f;
    p = p * t * exn_exp(-0.5f * x * x);
    return x < 0.0f ? p : 1.0f - p;
}

EXN_INLINE float mish(float x)
{
    float e = exn_exp(x < 20.0f ? x : 20.0f);
    float n = e * (e + 2.0f);
    return x < 20.0f ? x * (n / (n + 2.0f)) : x;
}

/* log(1 + t) for t from 0 to 1: twice the area tangent of t / (2 + t), as a series. */
EXN_INLINE float log_of_one_and(float t)
{
    float z = t / (2.0f + t), s = z * z;
    float sum = 1.0f / 13.0f;
    sum = sum * s + 1.0f / 11.0f;
    sum = sum * s + 1.0f / 9.0f;
    sum = sum * s + 1.0f / 7.0f;
    sum = sum * s + 1.0f / 5.0f;
    sum = sum * s + 1.0f / 3.0f;
    return 2.0f * z * (sum * s + 1.0f);
}

EXN_INLINE float softplus(float x, float steepness, float straight)
{
    float y = x * steepness;
    float above = log_of_one_and(exn_exp(y < 0.0f ? y : -y));
    return y > straight ? x : ((y < 0.0f ? 0.0f : y) + above) / steepness;
}

FUNCTION(clip, exn_limit(x, a, b))
FUNCTION(sigmoid, exn_sigmoid(x))
FUNCTION(tanh, exn_tanh(x))
FUNCTION(silu, x * exn_sigmoid(x))
FUNCTION(gelu, x * share_below(x))
FUNCTION(gelu_tanh, x * exn_sigmoid(1.595769122f * (x + 0.044715f * x * x * x)))
FUNCTION(hardswish, x * exn_limit(x + 3.0f, 0.0f, 6.0f) / 6.0f)
FUNCTION(hardsigmoid, gate(x))
FUNCTION(leaky_relu, x < 0.0f ? x * a : x)
FUNCTION(elu, x < 0.0f ? a * (exn_exp(x) - 1.0f) : x)
FUNCTION(mish, mish(x))
FUNCTION(softplus, softplus(x, a, b))
