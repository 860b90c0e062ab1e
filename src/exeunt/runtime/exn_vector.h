/* The loops of `exn_plain.h` as compilers turn them into vectors of NEON. */
#ifndef EXN_VECTOR_H
#define EXN_VECTOR_H

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

EXN_INLINE const int16_t *exn_filter_lanes(int32_t sums[EXN_LANES], const int16_t *w,
                                           const int8_t *const *taps, uint32_t count,
                                           uint32_t first)
{
    const int16_t *from = w;
    uint32_t t, i, k;
    for (t = 0; t + 2 <= count; t += 2, from += 8) {
        const int8_t *x = taps[t] + first, *y = taps[t + 1] + first;
        int16_t both[2 * EXN_LANES];
        for (k = 0; k < EXN_LANES / 4; k++) {
            memcpy(both + 8 * k, from + 4 * k * count, 8 * sizeof *from);
        }
        for (i = 0; i < EXN_LANES; i++) {
            sums[i] += both[2 * i] * x[i] + both[2 * i + 1] * y[i];
        }
    }
    for (; t < count; t++) {
        const int8_t *x = taps[t] + first;
        for (k = 0; k < EXN_LANES / 4; k++) {
            for (i = 0; i < 4; i++) {
                sums[4 * k + i] += from[4 * k * count + i] * x[4 * k + i];
            }
        }
    }
    return w + EXN_LANES * count;
}

#endif
