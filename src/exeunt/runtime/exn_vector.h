/* The loops of `exn_plain.h` for NEON: as compilers turn them into vectors, or by its instructions
 * where compilers do not find them. */
#ifndef EXN_VECTOR_H
#define EXN_VECTOR_H

#include <arm_neon.h>

enum { EXN_WIDEST = 256, EXN_COPIES = 1, EXN_CHUNK = 64, EXN_OUTPUTS = 512 };

EXN_INLINE const int16_t *exn_rows_chunk(exn_packed_sums *sums, const int16_t *w, const int16_t *x,
                                         uint32_t n)
{
    int16_t first[EXN_CHUNK], second[EXN_CHUNK];
    uint32_t ab = 0, a = 0, cd = 0, c = 0, i;
    for (i = 0; i < n && i < EXN_CHUNK; i += 4, w += 8) {
        memcpy(first + i, w, 4 * sizeof *w);
        memcpy(second + i, w + 4, 4 * sizeof *w);
    }
    for (i = 0; i < n; i++) {
        int16_t low = (int16_t)((int16_t)((uint16_t)first[i] << 8) >> 8);
        int16_t other = (int16_t)((int16_t)((uint16_t)second[i] << 8) >> 8);
        ab += (uint32_t)(first[i] * x[i]);
        a += (uint32_t)(low * x[i]);
        cd += (uint32_t)(second[i] * x[i]);
        c += (uint32_t)(other * x[i]);
    }
    sums->ab += ab;
    sums->a += a;
    sums->cd += cd;
    sums->c += c;
    return w;
}

EXN_INLINE const int16_t *exn_rows_wide(exn_packed_sums *sums, const int16_t *w, const int16_t *x,
                                        uint32_t n)
{
    for (; n > EXN_CHUNK; n -= EXN_CHUNK, x += EXN_CHUNK) {
        w = exn_rows_chunk(sums, w, x, EXN_CHUNK);
    }
    return exn_rows_chunk(sums, w, x, n);
}

EXN_INLINE const int16_t *exn_rows(exn_packed_sums *sums, const int16_t *w, const int8_t *x,
                                   uint32_t n)
{
    int16_t wide[EXN_CHUNK];
    for (; n > EXN_CHUNK; n -= EXN_CHUNK, x += EXN_CHUNK) {
        exn_widen(wide, x, EXN_CHUNK);
        w = exn_rows_chunk(sums, w, wide, EXN_CHUNK);
    }
    exn_widen(wide, x, n);
    return exn_rows_chunk(sums, w, wide, n);
}

EXN_INLINE const int16_t *exn_dot_3_s16(int32_t sums[3], const int16_t *w, const int16_t *h,
                                        uint32_t n)
{
    int16_t first[EXN_STATES], second[EXN_STATES], third[EXN_STATES];
    int32_t a = 0, b = 0, c = 0;
    uint32_t i;
    for (i = 0; i < n && i < EXN_STATES; i += 8, w += 24) {
        memcpy(first + i, w, 8 * sizeof *w);
        memcpy(second + i, w + 8, 8 * sizeof *w);
        memcpy(third + i, w + 16, 8 * sizeof *w);
    }
    for (i = 0; i < n; i++) {
        a += first[i] * h[i];
        b += second[i] * h[i];
        c += third[i] * h[i];
    }
    sums[0] += a;
    sums[1] += b;
    sums[2] += c;
    return w;
}

enum { EXN_LANES = 16 };

/* Four channels from `w` on of two taps, whose numbers are x and y. */
EXN_INLINE int32x4_t exn_two_taps(int32x4_t sums, const int16_t *w, int16x4_t x, int16x4_t y)
{
    int16x4x2_t both = vld2_s16(w);
    return vmlal_s16(vmlal_s16(sums, both.val[0], x), both.val[1], y);
}

EXN_INLINE const int16_t *exn_filter_lanes(int32_t sums[EXN_LANES], const int16_t *w,
                                           const int8_t *const *taps, uint32_t count,
                                           uint32_t first)
{
    int32x4_t a = vld1q_s32(sums), b = vld1q_s32(sums + 4), c = vld1q_s32(sums + 8);
    int32x4_t d = vld1q_s32(sums + 12);
    const int16_t *from = w;
    uint32_t pitch = 4 * count, t;
    for (t = 0; t + 2 <= count; t += 2, from += 8) {
        int8x16_t x = vld1q_s8(taps[t] + first), y = vld1q_s8(taps[t + 1] + first);
        int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
        int16x8_t other_low = vmovl_s8(vget_low_s8(y)), other_high = vmovl_s8(vget_high_s8(y));
        a = exn_two_taps(a, from, vget_low_s16(low), vget_low_s16(other_low));
        b = exn_two_taps(b, from + pitch, vget_high_s16(low), vget_high_s16(other_low));
        c = exn_two_taps(c, from + 2 * pitch, vget_low_s16(high), vget_low_s16(other_high));
        d = exn_two_taps(d, from + 3 * pitch, vget_high_s16(high), vget_high_s16(other_high));
    }
    if (t < count) {
        int8x16_t x = vld1q_s8(taps[t] + first);
        int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
        a = vmlal_s16(a, vld1_s16(from), vget_low_s16(low));
        b = vmlal_s16(b, vld1_s16(from + pitch), vget_high_s16(low));
        c = vmlal_s16(c, vld1_s16(from + 2 * pitch), vget_low_s16(high));
        d = vmlal_s16(d, vld1_s16(from + 3 * pitch), vget_high_s16(high));
    }
    vst1q_s32(sums, a);
    vst1q_s32(sums + 4, b);
    vst1q_s32(sums + 8, c);
    vst1q_s32(sums + 12, d);
    return w + EXN_LANES * count;
}

#endif
