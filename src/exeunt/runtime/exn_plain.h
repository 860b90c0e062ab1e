/* What takes most of the time, in C. `exn_dsp.h` has it for Cortex-M, `exn_x86.h` and `exn_vector.h`
 * have the loops for large machines: same names, same numbers. */
#ifndef EXN_PLAIN_H
#define EXN_PLAIN_H

/* The upper half of a product. */
EXN_INLINE int32_t exn_high(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 32);
}

/* value / 2^shift, halves up, and `offset` more. */
EXN_INLINE int32_t exn_halve(int32_t value, int32_t shift, int32_t offset)
{
    return ((value + ((int32_t)1 << (shift - 1))) >> shift) + offset;
}

/* The nearest number of so many bits. */
EXN_INLINE int32_t exn_int8(int32_t value)
{
    return exn_clamp(value, INT8_MIN, INT8_MAX);
}

EXN_INLINE int32_t exn_int16(int32_t value)
{
    return exn_clamp(value, INT16_MIN, INT16_MAX);
}

EXN_INLINE int32_t exn_int17(int32_t value)
{
    return exn_clamp(value, -65536, 65535);
}

/* A sum, and the bias of its row, times the row's factor, and `offset` more; goes to the next. */
EXN_INLINE int32_t exn_scale_next(const exn_row **row, int32_t sum, int32_t offset)
{
    const exn_row *of = (*row)++;
    return exn_halve(exn_high(of->bias + sum * (1 << EXN_SPARE), of->multiplier), of->shift, offset);
}

/* The height of a line. */
EXN_INLINE int32_t exn_height(const exn_line *line, int32_t at)
{
    return line->start + line->slope * at;
}

/* Pairs of states h become (k h + c) / 2^15: three words a pair, k of both, c of the one, c of the
 * other. */
EXN_INLINE void exn_blend(int16_t *state, const int32_t *words, uint32_t pairs)
{
    for (; pairs > 0; pairs--, state += 2, words += 3) {
        state[0] = (int16_t)(((words[0] & 0xffff) * state[0] + words[1]) >> 15);
        state[1] = (int16_t)(((words[0] >> 16) * state[1] + words[2]) >> 15);
    }
}

/* Four channels of a depthwise filter, from `first` on: of two taps the weights of a channel lie
 * together, those of an odd one come last. Gives the weights behind. */
EXN_INLINE const int16_t *exn_filter_4(int32_t sums[4], const int16_t *w, const int8_t *const *taps,
                                       uint32_t count, uint32_t first)
{
    for (; count >= 2; count -= 2, taps += 2, w += 8) {
        const int8_t *x = taps[0] + first, *y = taps[1] + first;
        sums[0] += w[0] * x[0] + w[1] * y[0];
        sums[1] += w[2] * x[1] + w[3] * y[1];
        sums[2] += w[4] * x[2] + w[5] * y[2];
        sums[3] += w[6] * x[3] + w[7] * y[3];
    }
    if (count > 0) {
        const int8_t *x = *taps + first;
        sums[0] += w[0] * x[0];
        sums[1] += w[1] * x[1];
        sums[2] += w[2] * x[2];
        sums[3] += w[3] * x[3];
        w += 4;
    }
    return w;
}

#ifdef EXN_X86
#include "exn_x86.h"
#else

/* 8 bits to 16; of every four numbers the third comes second, and zeros make eight of the last.
 * Gives the size then. */
EXN_INLINE uint32_t exn_widen(int16_t *wide, const int8_t *x, uint32_t n)
{
    uint32_t i, end = n & ~(uint32_t)3, filled = (n + 7) & ~(uint32_t)7;
    for (i = 0; i < end; i += 4) {
        wide[i] = x[i];
        wide[i + 1] = x[i + 2];
        wide[i + 2] = x[i + 1];
        wide[i + 3] = x[i + 3];
    }
    for (; i < filled; i += 4) {
        wide[i] = i < n ? x[i] : 0;
        wide[i + 1] = i + 2 < n ? x[i + 2] : 0;
        wide[i + 2] = i + 1 < n ? x[i + 1] : 0;
        wide[i + 3] = 0;
    }
    return filled;
}

#ifdef EXN_VECTOR
#include "exn_vector.h"
#else

/* Numbers that are widened before many rows are multiplied with them; here it does not pay. */
enum { EXN_WIDEST = 8 };

/* Places that each takes then, and outputs that are found at once, whole blocks of channels. */
enum { EXN_COPIES = 1, EXN_OUTPUTS = EXN_BLOCK };

/* Two rows in one: their sum, and that of the lower bytes. */
EXN_INLINE void exn_two_rows(uint32_t *both, uint32_t *first, int32_t w, int32_t x)
{
    *both += (uint32_t)(w * x);
    *first += (uint32_t)((int8_t)w * x);
}

EXN_INLINE void exn_four_rows(exn_packed_sums *sums, const int16_t *w, int32_t x0, int32_t x1,
                              int32_t x2, int32_t x3)
{
    exn_two_rows(&sums->ab, &sums->a, w[0], x0);
    exn_two_rows(&sums->ab, &sums->a, w[1], x1);
    exn_two_rows(&sums->ab, &sums->a, w[2], x2);
    exn_two_rows(&sums->ab, &sums->a, w[3], x3);
    exn_two_rows(&sums->cd, &sums->c, w[4], x0);
    exn_two_rows(&sums->cd, &sums->c, w[5], x1);
    exn_two_rows(&sums->cd, &sums->c, w[6], x2);
    exn_two_rows(&sums->cd, &sums->c, w[7], x3);
}

/* Four packed rows over widened numbers, a multiple of 8; gives the rows behind. */
EXN_INLINE const int16_t *exn_rows_wide(exn_packed_sums *sums, const int16_t *w, const int16_t *x,
                                        uint32_t n)
{
    for (; n > 0; n -= 4, w += 8, x += 4) {
        exn_four_rows(sums, w, x[0], x[1], x[2], x[3]);
    }
    return w;
}

/* And over numbers as they are. */
EXN_INLINE const int16_t *exn_rows(exn_packed_sums *sums, const int16_t *w, const int8_t *x,
                                   uint32_t n)
{
    for (; n > 0; n -= 4, w += 8, x += 4) {
        exn_four_rows(sums, w, x[0], x[2], x[1], x[3]);
    }
    return w;
}

/* Three rows of 16-bit weights over 16-bit numbers, a multiple of 8, at most EXN_STATES, both at
 * whole words; gives the rows behind. */
EXN_INLINE const int16_t *exn_dot_3_s16(int32_t sums[3], const int16_t *w, const int16_t *h,
                                        uint32_t n)
{
    int32_t a = sums[0], b = sums[1], c = sums[2];
    const int16_t *end = h + n;
    while (h < end) {
        const int16_t *block = h + 8;
        for (; h < block; h++, w++) {
            a += w[0] * h[0];
            b += w[8] * h[0];
            c += w[16] * h[0];
        }
        w += 16;
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    return w;
}

enum { EXN_LANES = 4 };

/* Channels of a depthwise filter, from `first` on; gives the weights behind. */
EXN_INLINE const int16_t *exn_filter_lanes(int32_t sums[EXN_LANES], const int16_t *w,
                                           const int8_t *const *taps, uint32_t count,
                                           uint32_t first)
{
    return exn_filter_4(sums, w, taps, count, first);
}

#endif

#endif

#endif
