/* Vectors of four numbers of 32 bits for `exn_units_s8.h`, for aarch64. */
#ifndef EXN_UNITS_NEON_H
#define EXN_UNITS_NEON_H

#include "exn_tanh.h"

#include <arm_neon.h>

/* Inputs whose weights lie together. */
enum { EXN_TOGETHER = 1 };

enum { EXN_ACROSS = 4 };
typedef int32x4_t exn_across;

EXN_INLINE exn_across exn_across_all(int32_t x)
{
    return vdupq_n_s32(x);
}

EXN_INLINE exn_across exn_across_read(const int32_t *from)
{
    return vld1q_s32(from);
}

EXN_INLINE void exn_across_write(int32_t *to, exn_across x)
{
    vst1q_s32(to, x);
}

EXN_INLINE exn_across exn_across_least(exn_across a, exn_across b)
{
    return vminq_s32(a, b);
}

EXN_INLINE exn_across exn_across_most(exn_across a, exn_across b)
{
    return vmaxq_s32(a, b);
}

EXN_INLINE exn_across exn_across_size(exn_across x)
{
    return vabsq_s32(x);
}

/* x / 2^by, halves up. */
EXN_INLINE exn_across exn_across_halve(exn_across x, exn_across by)
{
    return vrshlq_s32(x, vnegq_s32(by));
}

/* The upper halves of products. */
EXN_INLINE exn_across exn_across_high(exn_across a, exn_across b)
{
    int64x2_t low = vmull_s32(vget_low_s32(a), vget_low_s32(b)), high = vmull_high_s32(a, b);
    return vuzp2q_s32(vreinterpretq_s32_s64(low), vreinterpretq_s32_s64(high));
}

/* `size` with the sign of x; where that is 0 `size` is. */
EXN_INLINE exn_across exn_across_signed(exn_across size, exn_across x)
{
    exn_across below = vshrq_n_s32(x, 31);
    return vsubq_s32(veorq_s32(size, below), below);
}

/* Heights of tanh at a place and at the next, 16 bits each. */
EXN_INLINE int32_t exn_two_heights(int32_t at)
{
    int32_t both;
    memcpy(&both, exn_tanh_heights + at, sizeof both);
    return both;
}

/* Heights of tanh at `at` and behind it, and a line between them, of which `rest` in 128. */
EXN_INLINE exn_across exn_across_between(exn_across at, exn_across rest)
{
    exn_across both = vdupq_n_s32(0), first, second;
    both = vsetq_lane_s32(exn_two_heights(vgetq_lane_s32(at, 0)), both, 0);
    both = vsetq_lane_s32(exn_two_heights(vgetq_lane_s32(at, 1)), both, 1);
    both = vsetq_lane_s32(exn_two_heights(vgetq_lane_s32(at, 2)), both, 2);
    both = vsetq_lane_s32(exn_two_heights(vgetq_lane_s32(at, 3)), both, 3);
    second = vshrq_n_s32(both, 16);
    first = vshrq_n_s32(vshlq_n_s32(both, 16), 16);
    return vaddq_s32(first, vrshrq_n_s32(vmulq_s32(vsubq_s32(second, first), rest), 7));
}

/* 16-bit numbers, and back to them. */
EXN_INLINE exn_across exn_across_widen(const int16_t *from)
{
    return vmovl_s16(vld1_s16(from));
}

EXN_INLINE void exn_across_narrow(int16_t *to, exn_across x)
{
    vst1_s16(to, vmovn_s32(x));
}

/* Sums of some vectors of gates; every step's weights lie `vectors` vectors apart. */
EXN_INLINE void exn_across_dot(exn_across *sums, const int16_t *weights, const int16_t *x,
                               uint32_t steps, uint32_t vectors, int count)
{
    exn_across of[6];
    uint32_t step;
    int k;
    for (k = 0; k < count; k++) {
        of[k] = vdupq_n_s32(0);
    }
    for (step = 0; step < steps; step++, weights += vectors * EXN_ACROSS) {
        int16x8_t number = vdupq_n_s16(x[step]);
        for (k = 0; k + 2 <= count; k += 2) {
            int16x8_t w = vld1q_s16(weights + k * EXN_ACROSS);
            of[k] = vmlal_s16(of[k], vget_low_s16(w), vget_low_s16(number));
            of[k + 1] = vmlal_high_s16(of[k + 1], w, number);
        }
        for (; k < count; k++) {
            of[k] = vmlal_s16(of[k], vld1_s16(weights + k * EXN_ACROSS), vget_low_s16(number));
        }
    }
    for (k = 0; k < count; k++) {
        sums[k] = of[k];
    }
}

#endif
