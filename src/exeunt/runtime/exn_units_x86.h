/* Vectors of 32 bits for `exn_units_s8.h`: eight numbers, or sixteen with AVX-512. */
#ifndef EXN_UNITS_X86_H
#define EXN_UNITS_X86_H

#include "exn_tanh.h"

/* Inputs whose weights lie together. */
enum { EXN_TOGETHER = 2 };

#if defined(__AVX512F__) && defined(__AVX512BW__)
#define EXN_UNITS_512 1
enum { EXN_ACROSS = 16 };
typedef int32_t exn_across __attribute__((vector_size(64)));
typedef __m512i exn_across_bits;
#define EXN_512(name) _mm512_##name
#else
enum { EXN_ACROSS = 8 };
typedef int32_t exn_across __attribute__((vector_size(32)));
typedef __m256i exn_across_bits;
#define EXN_512(name) _mm256_##name
#endif
#define EXN_BITS(x) ((exn_across_bits)(x))

EXN_INLINE exn_across exn_across_all(int32_t x)
{
    return (exn_across)EXN_512(set1_epi32)(x);
}

EXN_INLINE exn_across exn_across_read(const int32_t *from)
{
    exn_across x;
    memcpy(&x, from, sizeof x);
    return x;
}

EXN_INLINE void exn_across_write(int32_t *to, exn_across x)
{
    memcpy(to, &x, sizeof x);
}

EXN_INLINE exn_across exn_across_least(exn_across a, exn_across b)
{
    return (exn_across)EXN_512(min_epi32)(EXN_BITS(a), EXN_BITS(b));
}

EXN_INLINE exn_across exn_across_most(exn_across a, exn_across b)
{
    return (exn_across)EXN_512(max_epi32)(EXN_BITS(a), EXN_BITS(b));
}

EXN_INLINE exn_across exn_across_size(exn_across x)
{
    return (exn_across)EXN_512(abs_epi32)(EXN_BITS(x));
}

/* x / 2^by, halves up. */
EXN_INLINE exn_across exn_across_halve(exn_across x, exn_across by)
{
    exn_across_bits half = EXN_512(sllv_epi32)(EXN_BITS(exn_across_all(1)), EXN_BITS(by - 1));
    return (exn_across)EXN_512(srav_epi32)(EXN_512(add_epi32)(EXN_BITS(x), half), EXN_BITS(by));
}

/* The upper halves of products. */
EXN_INLINE exn_across exn_across_high(exn_across a, exn_across b)
{
    exn_across_bits even = EXN_512(mul_epi32)(EXN_BITS(a), EXN_BITS(b));
    exn_across_bits odd = EXN_512(mul_epi32)(EXN_512(srli_epi64)(EXN_BITS(a), 32),
                                             EXN_512(srli_epi64)(EXN_BITS(b), 32));
    even = EXN_512(srli_epi64)(even, 32);
#ifdef EXN_UNITS_512
    return (exn_across)_mm512_mask_blend_epi32(0xaaaa, even, odd);
#else
    return (exn_across)_mm256_blend_epi32(even, odd, 0xaa);
#endif
}

/* `size` with the sign of x; where that is 0 `size` is. */
EXN_INLINE exn_across exn_across_signed(exn_across size, exn_across x)
{
    exn_across below = x >> 31;
    return (size ^ below) - below;
}

/* Heights of tanh at `at` and behind it, and a line between them, of which `rest` in 128. */
EXN_INLINE exn_across exn_across_between(exn_across at, exn_across rest)
{
    exn_across shares = (rest << 16) - rest + 128;
#ifdef EXN_UNITS_512
    const __m512i *heights = (const void *)exn_tanh_heights;
    __m512i places = EXN_BITS(at * 65537 + 65536), found;
    __mmask32 second = _mm512_cmpgt_epi16_mask(places, _mm512_set1_epi16(63));
    __mmask32 third = _mm512_cmpgt_epi16_mask(places, _mm512_set1_epi16(127));
    found = _mm512_permutex2var_epi16(_mm512_loadu_si512(heights), places,
                                      _mm512_loadu_si512(heights + 1));
    found = _mm512_mask_blend_epi16(
        second, found,
        _mm512_permutex2var_epi16(_mm512_loadu_si512(heights + 2), places,
                                  _mm512_loadu_si512(heights + 3)));
    found = _mm512_mask_blend_epi16(
        third, found,
        _mm512_permutex2var_epi16(_mm512_loadu_si512(heights + 4), places,
                                  _mm512_loadu_si512(heights + 5)));
    found = _mm512_madd_epi16(found, EXN_BITS(shares));
#else
    __m256i found = _mm256_i32gather_epi32((const void *)exn_tanh_heights, EXN_BITS(at), 2);
    found = _mm256_madd_epi16(found, EXN_BITS(shares));
#endif
    return ((exn_across)found + 64) >> 7;
}

/* 16-bit numbers, and back to them. */
EXN_INLINE exn_across exn_across_widen(const int16_t *from)
{
#ifdef EXN_UNITS_512
    return (exn_across)_mm512_cvtepi16_epi32(_mm256_loadu_si256((const void *)from));
#else
    return (exn_across)_mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)from));
#endif
}

EXN_INLINE void exn_across_narrow(int16_t *to, exn_across x)
{
#ifdef EXN_UNITS_512
    _mm256_storeu_si256((void *)to, _mm512_cvtepi32_epi16(EXN_BITS(x)));
#else
    __m128i low = _mm256_castsi256_si128(EXN_BITS(x));
    _mm_storeu_si128((void *)to, _mm_packs_epi32(low, _mm256_extracti128_si256(EXN_BITS(x), 1)));
#endif
}

#if defined(EXN_UNITS_512) && defined(__AVX512VNNI__)
#define EXN_UNITS_MULTIPLY _mm512_dpwssd_epi32
#elif defined(EXN_UNITS_512)
#define EXN_UNITS_MULTIPLY(sum, w, x) _mm512_add_epi32(sum, _mm512_madd_epi16(w, x))
#else
#define EXN_UNITS_MULTIPLY EXN_MULTIPLY
#endif

/* Sums of some vectors of gates; every step's weights lie `vectors` vectors apart. */
EXN_INLINE void exn_across_dot(exn_across *sums, const int16_t *weights, const int16_t *x,
                               uint32_t steps, uint32_t vectors, int count)
{
    exn_across_bits of[6];
    uint32_t step, apart = vectors * EXN_ACROSS * EXN_TOGETHER;
    int k;
    for (k = 0; k < count; k++) {
        of[k] = EXN_BITS(exn_across_all(0));
    }
    for (step = 0; step < steps; step++, x += EXN_TOGETHER, weights += apart) {
        int32_t two;
        exn_across_bits both;
        memcpy(&two, x, sizeof two);
        both = EXN_BITS(exn_across_all(two));
        for (k = 0; k < count; k++) {
            const int16_t *from = weights + k * EXN_ACROSS * EXN_TOGETHER;
            exn_across_bits w;
            memcpy(&w, from, sizeof w);
            of[k] = EXN_UNITS_MULTIPLY(of[k], w, both);
        }
    }
    for (k = 0; k < count; k++) {
        sums[k] = (exn_across)of[k];
    }
}

#endif
