/* Sums of products that all float kernels share.
 *
 * Each sum takes its products in one fixed order, and no product is fused into a sum
 * (-ffp-contract=off): so every machine finds the same bits. What runs side by side are outputs,
 * whose weights lie next to each other.
 */
#ifndef EXN_FLOATS_H
#define EXN_FLOATS_H

#include "exn_access.h"

EXN_INLINE float exn_limit(float value, float low, float high)
{
    value = value > low ? value : low;
    return value < high ? value : high;
}

EXN_INLINE void exn_copy(float *to, const float *from, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

/* Copies numbers within limits. */
EXN_INLINE void exn_copy_limited(float *to, const float *from, uint32_t n, float low, float high)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        to[i] = exn_limit(from[i], low, high);
    }
}

#if !defined(EXN_PLAIN) && defined(__GNUC__) && (defined(__SSE2__) || defined(__aarch64__))
#include "exn_vector_f32.h"
#else
enum { EXN_LANES = 8 };

/* Adds products to EXN_LANES sums: of `n` numbers, each with the weights of all lanes. From one
 * number's weights to the next one's it is `pitch`.
 */
EXN_INLINE void exn_add_lanes(float *sums, const float *w, uint32_t pitch, const float *x,
                              uint32_t n)
{
    float s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    float s4 = sums[4], s5 = sums[5], s6 = sums[6], s7 = sums[7];
    for (; n > 0; n--, w += pitch, x++) {
        s0 += w[0] * *x;
        s1 += w[1] * *x;
        s2 += w[2] * *x;
        s3 += w[3] * *x;
        s4 += w[4] * *x;
        s5 += w[5] * *x;
        s6 += w[6] * *x;
        s7 += w[7] * *x;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    sums[4] = s4;
    sums[5] = s5;
    sums[6] = s6;
    sums[7] = s7;
}

/* The same for the first `lanes`. */
EXN_INLINE void exn_add_products(float *sums, uint32_t lanes, const float *w, uint32_t pitch,
                                 const float *x, uint32_t n)
{
    uint32_t i;
    if (lanes == EXN_LANES) {
        exn_add_lanes(sums, w, pitch, x, n);
        return;
    }
    for (; n > 0; n--, w += pitch, x++) {
        for (i = 0; i < lanes; i++) {
            sums[i] += w[i] * *x;
        }
    }
}

/* Adds the products of EXN_LANES channels, of all taps. */
EXN_INLINE void exn_add_lane_taps(float *sums, const float *w, uint32_t pitch,
                                  const float *const *taps, uint32_t count)
{
    float s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    float s4 = sums[4], s5 = sums[5], s6 = sums[6], s7 = sums[7];
    for (; count > 0; count--, w += pitch, taps++) {
        const float *x = *taps;
        if (x != NULL) {
            s0 += w[0] * x[0];
            s1 += w[1] * x[1];
            s2 += w[2] * x[2];
            s3 += w[3] * x[3];
            s4 += w[4] * x[4];
            s5 += w[5] * x[5];
            s6 += w[6] * x[6];
            s7 += w[7] * x[7];
        }
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    sums[4] = s4;
    sums[5] = s5;
    sums[6] = s6;
    sums[7] = s7;
}

/* Adds the products of all taps of a filter, each of `lanes` channels; NULL is padding. */
EXN_INLINE void exn_add_taps(float *sums, uint32_t lanes, const float *w, uint32_t pitch,
                             const float *const *taps, uint32_t count)
{
    uint32_t i;
    if (lanes == EXN_LANES) {
        exn_add_lane_taps(sums, w, pitch, taps, count);
        return;
    }
    for (; count > 0; count--, w += pitch, taps++) {
        for (i = 0; i < lanes && *taps != NULL; i++) {
            sums[i] += w[i] * (*taps)[i];
        }
    }
}

#endif

EXN_INLINE uint32_t exn_lanes_left(uint32_t first, uint32_t end)
{
    return end - first < EXN_LANES ? end - first : EXN_LANES;
}

/* biases + weights * x. weights: input, output */
EXN_INLINE void exn_map(const float *weights, const float *biases, uint32_t outputs,
                        const float *x, uint32_t inputs, float *out)
{
    uint32_t first;
    for (first = 0; first < outputs; first += EXN_LANES) {
        uint32_t lanes = exn_lanes_left(first, outputs);
        float sums[EXN_LANES];
        exn_copy(sums, biases + first, lanes);
        exn_add_products(sums, lanes, weights + first, outputs, x, inputs);
        exn_copy(out + first, sums, lanes);
    }
}

#endif
