/* What the runtime takes of SSE2, in WebAssembly's vectors of the same 128 bits: so browsers run the
 * loops that were written for x86, and find the same numbers. */
#ifndef PAGE_EMMINTRIN_H
#define PAGE_EMMINTRIN_H

#include <wasm_simd128.h>

typedef v128_t __m128i;
typedef v128_t __m128;

#define _MM_SHUFFLE(d, c, b, a) ((d) << 6 | (c) << 4 | (b) << 2 | (a))

#define _mm_setzero_si128() wasm_i64x2_splat(0)
#define _mm_loadu_si128(from) wasm_v128_load(from)
#define _mm_loadl_epi64(from) wasm_v128_load64_zero(from)
#define _mm_storeu_si128(to, a) wasm_v128_store(to, a)

#define _mm_add_epi16(a, b) wasm_i16x8_add(a, b)
#define _mm_add_epi32(a, b) wasm_i32x4_add(a, b)
#define _mm_sub_epi32(a, b) wasm_i32x4_sub(a, b)
#define _mm_mullo_epi16(a, b) wasm_i16x8_mul(a, b)
#define _mm_madd_epi16(a, b) wasm_i32x4_dot_i16x8(a, b)
#define _mm_srai_epi16(a, by) wasm_i16x8_shr(a, by)
#define _mm_srai_epi32(a, by) wasm_i32x4_shr(a, by)
#define _mm_slli_epi16(a, by) wasm_i16x8_shl(a, by)
#define _mm_slli_epi32(a, by) wasm_i32x4_shl(a, by)
#define _mm_packs_epi16(a, b) wasm_i8x16_narrow_i16x8(a, b)

#define _mm_unpacklo_epi8(a, b) \
    wasm_i8x16_shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define _mm_unpackhi_epi8(a, b) \
    wasm_i8x16_shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define _mm_unpacklo_epi16(a, b) wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define _mm_unpacklo_epi32(a, b) wasm_i32x4_shuffle(a, b, 0, 4, 1, 5)
#define _mm_unpackhi_epi32(a, b) wasm_i32x4_shuffle(a, b, 2, 6, 3, 7)
#define _mm_unpacklo_epi64(a, b) wasm_i64x2_shuffle(a, b, 0, 2)
#define _mm_unpackhi_epi64(a, b) wasm_i64x2_shuffle(a, b, 1, 3)
#define _mm_shufflelo_epi16(a, which) \
    wasm_i16x8_shuffle(a, a, (which) & 3, (which) >> 2 & 3, (which) >> 4 & 3, (which) >> 6 & 3, 4, \
                       5, 6, 7)
#define _mm_shufflehi_epi16(a, which) \
    wasm_i16x8_shuffle(a, a, 0, 1, 2, 3, 4 + ((which) & 3), 4 + ((which) >> 2 & 3), \
                       4 + ((which) >> 4 & 3), 4 + ((which) >> 6 & 3))

#define _mm_castsi128_ps(a) (a)
#define _mm_castps_si128(a) (a)
#define _mm_shuffle_ps(a, b, which) \
    wasm_i32x4_shuffle(a, b, (which) & 3, (which) >> 2 & 3, 4 + ((which) >> 4 & 3), \
                       4 + ((which) >> 6 & 3))

#endif
