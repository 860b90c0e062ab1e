/* What takes most of the time, for x86 with SSE2, or with AVX2; `exn_plain.h` says it in C.
 *
 * Widened numbers lie there twice, four and the same four, beside the weights of rows a and b and
 * those of c and d: so one product gives the sums of both. Weights moved up by 8 bits are 256 a,
 * whose sums tell a as far as those of 256 b + a tell b.
 */
#ifndef EXN_X86_H
#define EXN_X86_H

#ifdef __AVX2__
#include <immintrin.h>
#else
#include <emmintrin.h>
#endif

enum { EXN_WIDEST = 5120, EXN_COPIES = 2, EXN_OUTPUTS = 512 };

/* Widens eight numbers. */
EXN_INLINE void exn_widen_8(int16_t *wide, __m128i eight)
{
    eight = _mm_srai_epi16(_mm_unpacklo_epi8(eight, eight), 8);
    eight = _mm_shufflelo_epi16(eight, _MM_SHUFFLE(3, 1, 2, 0));
    eight = _mm_shufflehi_epi16(eight, _MM_SHUFFLE(3, 1, 2, 0));
    _mm_storeu_si128((void *)wide, _mm_unpacklo_epi64(eight, eight));
    _mm_storeu_si128((void *)(wide + 8), _mm_unpackhi_epi64(eight, eight));
}

EXN_INLINE uint32_t exn_widen(int16_t *wide, const int8_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i + 8 <= n; i += 8, wide += 16) {
        exn_widen_8(wide, _mm_loadl_epi64((const void *)(x + i)));
    }
    if (i < n) {
        int8_t last[8] = {0};
        memcpy(last, x + i, n - i);
        exn_widen_8(wide, _mm_loadl_epi64((const void *)last));
    }
    return (n + 7) & ~(uint32_t)7;
}

/* Vectors of 32-bit sums, over four inputs of four packed rows or over eight; what is done to them
 * is done to every 128 bits alike. */
#ifdef __AVX2__
typedef __m256i exn_words;
enum { EXN_STEP = 8 };
#define EXN_ZERO _mm256_setzero_si256()
#define EXN_LOAD(from) _mm256_loadu_si256((const void *)(from))
#define EXN_UP(w) _mm256_slli_epi16(w, 8)
#define EXN_ADD _mm256_add_epi32
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define EXN_MULTIPLY _mm256_dpwssd_epi32
#elif defined(__AVXVNNI__)
#define EXN_MULTIPLY _mm256_dpwssd_avx_epi32
#else
#define EXN_MULTIPLY(sum, w, x) _mm256_add_epi32(sum, _mm256_madd_epi16(w, x))
#endif
#define EXN_PICK(a, b, which) \
    _mm256_castps_si256( \
        _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), which))
#else
typedef __m128i exn_words;
enum { EXN_STEP = 4 };
#define EXN_ZERO _mm_setzero_si128()
#define EXN_LOAD(from) _mm_loadu_si128((const void *)(from))
#define EXN_UP(w) _mm_slli_epi16(w, 8)
#define EXN_ADD _mm_add_epi32
#define EXN_MULTIPLY(sum, w, x) _mm_add_epi32(sum, _mm_madd_epi16(w, x))
#define EXN_PICK(a, b, which) \
    _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), which))
#endif

/* Four packed rows: sums of 256 b + a and 256 d + c, and of 256 a and 256 c. */
typedef struct exn_quad {
    exn_words both, first;
} exn_quad;

EXN_INLINE void exn_multiply(exn_quad *sums, exn_words w, exn_words x)
{
    sums->both = EXN_MULTIPLY(sums->both, w, x);
    sums->first = EXN_MULTIPLY(sums->first, EXN_UP(w), x);
}

/* In every 128 bits the sums of 256 b + a, 256 d + c, 256 a and 256 c. */
EXN_INLINE exn_words exn_gather(const exn_quad *sums)
{
    return EXN_ADD(EXN_PICK(sums->both, sums->first, _MM_SHUFFLE(2, 0, 2, 0)),
                   EXN_PICK(sums->both, sums->first, _MM_SHUFFLE(3, 1, 3, 1)));
}

/* Adds what four quads have gathered to the sums of their rows. */
#ifdef __AVX2__
EXN_INLINE void exn_add_8(int32_t *sums, __m256i eight)
{
    _mm256_storeu_si256((void *)sums, _mm256_add_epi32(EXN_LOAD(sums), eight));
}

EXN_INLINE void exn_add_rows(int32_t sums[16], const exn_words of[4])
{
    __m256i b = _mm256_unpacklo_epi64(of[0], of[2]), d = _mm256_unpacklo_epi64(of[1], of[3]);
    __m256i a = _mm256_unpackhi_epi64(of[0], of[2]), c = _mm256_unpackhi_epi64(of[1], of[3]);
    a = _mm256_add_epi32(_mm256_permute2x128_si256(a, c, 0x20),
                         _mm256_permute2x128_si256(a, c, 0x31));
    b = _mm256_add_epi32(_mm256_permute2x128_si256(b, d, 0x20),
                         _mm256_permute2x128_si256(b, d, 0x31));
    a = _mm256_srai_epi32(a, 8);
    b = _mm256_srai_epi32(_mm256_sub_epi32(b, a), 8);
    exn_add_8(sums, _mm256_unpacklo_epi32(a, b));
    exn_add_8(sums + 8, _mm256_unpackhi_epi32(a, b));
}
#else
EXN_INLINE void exn_add_4(int32_t *sums, __m128i four)
{
    _mm_storeu_si128((void *)sums, _mm_add_epi32(EXN_LOAD(sums), four));
}

EXN_INLINE void exn_add_rows(int32_t sums[16], const exn_words of[4])
{
    uint32_t k;
    for (k = 0; k < 4; k += 2) {
        __m128i a = _mm_srai_epi32(_mm_unpackhi_epi64(of[k], of[k + 1]), 8);
        __m128i b = _mm_sub_epi32(_mm_unpacklo_epi64(of[k], of[k + 1]), a);
        b = _mm_srai_epi32(b, 8);
        exn_add_4(sums + 4 * k, _mm_unpacklo_epi32(a, b));
        exn_add_4(sums + 4 * k + 4, _mm_unpackhi_epi32(a, b));
    }
}
#endif

/* Rows that are multiplied at once. */
enum { EXN_ROWS = 16 };

/* Up to EXN_ROWS rows of packed weights over widened numbers; gives the rows behind. */
EXN_INLINE const int16_t *exn_dot_wide(int32_t sums[EXN_ROWS], const int16_t *w, const int16_t *x,
                                       uint32_t n, uint32_t rows)
{
    uint32_t quads = rows < EXN_ROWS ? (rows + 3) / 4 : 4, pitch = 2 * n, k;
    const int16_t *w1 = quads > 1 ? w + pitch : w, *w2 = quads > 2 ? w1 + pitch : w1;
    const int16_t *w3 = quads > 3 ? w2 + pitch : w2, *behind = w + quads * pitch;
    while (n > 0) {
        exn_quad of[4];
        exn_words gathered[4];
        uint32_t run = n < EXN_RUN ? n : EXN_RUN;
        n -= run;
        for (k = 0; k < 4; k++) {
            of[k].both = of[k].first = EXN_ZERO;
        }
        for (; run > 0; run -= EXN_STEP) {
            exn_words numbers = EXN_LOAD(x);
            exn_multiply(&of[0], EXN_LOAD(w), numbers);
            exn_multiply(&of[1], EXN_LOAD(w1), numbers);
            exn_multiply(&of[2], EXN_LOAD(w2), numbers);
            exn_multiply(&of[3], EXN_LOAD(w3), numbers);
            x += 2 * EXN_STEP;
            w += 2 * EXN_STEP;
            w1 += 2 * EXN_STEP;
            w2 += 2 * EXN_STEP;
            w3 += 2 * EXN_STEP;
        }
        for (k = 0; k < 4; k++) {
            gathered[k] = exn_gather(&of[k]);
        }
        exn_add_rows(sums, gathered);
    }
    return behind;
}

/* Four packed rows over widened numbers. */
EXN_INLINE const int16_t *exn_rows_wide(exn_packed_sums *sums, const int16_t *w, const int16_t *x,
                                        uint32_t n)
{
    __m128i both = _mm_setzero_si128(), first = both;
    uint32_t found[8];
    for (; n > 0; n -= 4, w += 8, x += 8) {
        __m128i weights = _mm_loadu_si128((const void *)w);
        __m128i numbers = _mm_loadu_si128((const void *)x);
        both = _mm_add_epi32(both, _mm_madd_epi16(weights, numbers));
        first = _mm_add_epi32(first, _mm_madd_epi16(_mm_slli_epi16(weights, 8), numbers));
    }
    _mm_storeu_si128((void *)found, both);
    _mm_storeu_si128((void *)(found + 4), first);
    sums->ab += found[0] + found[1];
    sums->cd += found[2] + found[3];
    sums->a += (uint32_t)((int32_t)(found[4] + found[5]) >> 8);
    sums->c += (uint32_t)((int32_t)(found[6] + found[7]) >> 8);
    return w;
}

/* And over numbers as they are. */
EXN_INLINE const int16_t *exn_rows(exn_packed_sums *sums, const int16_t *w, const int8_t *x,
                                   uint32_t n)
{
    int16_t wide[EXN_COPIES * EXN_RUN];
    return exn_rows_wide(sums, w, wide, exn_widen(wide, x, n));
}

/* Three rows of 16-bit weights over 16-bit numbers, a multiple of 8; gives the rows behind. */
EXN_INLINE const int16_t *exn_dot_3_s16(int32_t sums[3], const int16_t *w, const int16_t *h,
                                        uint32_t n)
{
    __m128i a = _mm_setzero_si128(), b = a, c = a, d = a;
    int32_t found[4];
    for (; n > 0; n -= 8, h += 8, w += 24) {
        __m128i numbers = _mm_loadu_si128((const void *)h);
        a = _mm_add_epi32(a, _mm_madd_epi16(_mm_loadu_si128((const void *)w), numbers));
        b = _mm_add_epi32(b, _mm_madd_epi16(_mm_loadu_si128((const void *)(w + 8)), numbers));
        c = _mm_add_epi32(c, _mm_madd_epi16(_mm_loadu_si128((const void *)(w + 16)), numbers));
    }
    a = _mm_add_epi32(_mm_unpacklo_epi32(a, c), _mm_unpackhi_epi32(a, c)); /* a c a c */
    b = _mm_add_epi32(_mm_unpacklo_epi32(b, d), _mm_unpackhi_epi32(b, d));
    a = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)); /* a b c 0 */
    _mm_storeu_si128((void *)found, a);
    sums[0] += found[0];
    sums[1] += found[1];
    sums[2] += found[2];
    return w;
}

/* Channels of a depthwise filter. Weights lie by fours, of two taps those of a channel together. */
enum { EXN_LANES = 16 };

/* Those of four channels and one tap, with a zero beside each. */
EXN_INLINE __m128i exn_with_zeros(const int16_t *w)
{
    return _mm_unpacklo_epi16(_mm_loadl_epi64((const void *)w), _mm_setzero_si128());
}

#ifdef __AVX2__
EXN_INLINE __m256i exn_join(__m128i low, __m128i high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

EXN_INLINE __m256i exn_two_taps(__m256i sums, const int16_t *w, uint32_t pitch, __m128i numbers)
{
    __m256i weights = exn_join(_mm_loadu_si128((const void *)w),
                               _mm_loadu_si128((const void *)(w + pitch)));
    return EXN_MULTIPLY(sums, weights, _mm256_cvtepi8_epi16(numbers));
}

EXN_INLINE const int16_t *exn_filter_lanes(int32_t sums[EXN_LANES], const int16_t *w,
                                           const int8_t *const *taps, uint32_t count,
                                           uint32_t first)
{
    __m256i low = _mm256_setzero_si256(), high = low;
    uint32_t pitch = 4 * count, t;
    const int16_t *from = w;
    for (t = 0; t + 2 <= count; t += 2, from += 8) {
        __m128i x = _mm_loadu_si128((const void *)(taps[t] + first));
        __m128i y = _mm_loadu_si128((const void *)(taps[t + 1] + first));
        low = exn_two_taps(low, from, pitch, _mm_unpacklo_epi8(x, y));
        high = exn_two_taps(high, from + 2 * pitch, pitch, _mm_unpackhi_epi8(x, y));
    }
    if (t < count) {
        __m128i x = _mm_loadu_si128((const void *)(taps[t] + first)), zero = _mm_setzero_si128();
        __m256i weights = exn_join(exn_with_zeros(from), exn_with_zeros(from + pitch));
        low = EXN_MULTIPLY(low, weights, _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x, zero)));
        from += 2 * pitch;
        weights = exn_join(exn_with_zeros(from), exn_with_zeros(from + pitch));
        high = EXN_MULTIPLY(high, weights, _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(x, zero)));
    }
    exn_add_8(sums, low);
    exn_add_8(sums + 8, high);
    return w + EXN_LANES * count;
}
#else
/* Eight numbers of two taps in turn, as 16 bits: those of the first four channels, or the others. */
#define EXN_FIRST_FOUR(both) _mm_srai_epi16(_mm_unpacklo_epi8(both, both), 8)
#define EXN_OTHER_FOUR(both) _mm_srai_epi16(_mm_unpackhi_epi8(both, both), 8)

EXN_INLINE const int16_t *exn_filter_lanes(int32_t sums[EXN_LANES], const int16_t *w,
                                           const int8_t *const *taps, uint32_t count,
                                           uint32_t first)
{
    __m128i of[4] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(),
                     _mm_setzero_si128()};
    uint32_t pitch = 4 * count, t, k;
    const int16_t *from = w;
    for (t = 0; t < count; t += 2, from += 8) {
        int alone = t + 1 == count;
        __m128i x = _mm_loadu_si128((const void *)(taps[t] + first)), numbers[4], weights;
        __m128i y = alone ? _mm_setzero_si128()
                          : _mm_loadu_si128((const void *)(taps[t + 1] + first));
        __m128i low = _mm_unpacklo_epi8(x, y), high = _mm_unpackhi_epi8(x, y);
        numbers[0] = EXN_FIRST_FOUR(low);
        numbers[1] = EXN_OTHER_FOUR(low);
        numbers[2] = EXN_FIRST_FOUR(high);
        numbers[3] = EXN_OTHER_FOUR(high);
        for (k = 0; k < 4; k++) {
            weights = alone ? exn_with_zeros(from + k * pitch)
                            : _mm_loadu_si128((const void *)(from + k * pitch));
            of[k] = EXN_MULTIPLY(of[k], weights, numbers[k]);
        }
    }
    for (k = 0; k < 4; k++) {
        exn_add_4(sums + 4 * k, of[k]);
    }
    return w + EXN_LANES * count;
}
#endif

/* Eight sums to outputs, not yet within 8 bits. */
#ifdef __AVX2__
EXN_INLINE __m256i exn_scale_8(const exn_four *four, const int32_t *sums, int32_t zero)
{
    __m256i low = EXN_LOAD(four), high = EXN_LOAD(four + 1), value, multiplier, odd;
    value = _mm256_add_epi32(EXN_LOAD(sums), _mm256_permute2x128_si256(low, high, 0x20));
    multiplier = _mm256_permute2x128_si256(low, high, 0x31);
    odd = _mm256_mul_epi32(_mm256_srli_epi64(value, 32), _mm256_srli_epi64(multiplier, 32));
    value = _mm256_srli_epi64(_mm256_mul_epi32(value, multiplier), 32);
    value = _mm256_blend_epi32(value, odd, 0xaa);
    value = _mm256_add_epi32(value, _mm256_set1_epi32(1 << (EXN_FINE - 1)));
    return _mm256_add_epi32(_mm256_srai_epi32(value, EXN_FINE), _mm256_set1_epi32(zero));
}

/* Up to EXN_ROWS outputs. */
EXN_INLINE void exn_store_fours(int8_t *out, const exn_four *four, const int32_t sums[EXN_ROWS],
                                int32_t zero, uint32_t count)
{
    exn_four last[EXN_ROWS / 4];
    __m256i all;
    __m128i found;
    if (count < EXN_ROWS) {
        memset(last, 0, sizeof last);
        memcpy(last, four, (count + 3) / 4 * sizeof *four);
        four = last;
    }
    all = _mm256_packs_epi32(exn_scale_8(four, sums, zero), exn_scale_8(four + 2, sums + 8, zero));
    all = _mm256_permute4x64_epi64(all, _MM_SHUFFLE(3, 1, 2, 0));
    found = _mm_packs_epi16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    if (count < EXN_ROWS) {
        memcpy(out, &found, count);
    } else {
        _mm_storeu_si128((void *)out, found);
    }
}
#endif

#endif
