/* The sums of `exn_floats.h` in vectors, for large machines: same names, same numbers.
 *
 * A vector holds the sums of as many outputs; several at once hide how long an addition takes.
 */
#ifndef EXN_VECTOR_F32_H
#define EXN_VECTOR_F32_H

#include <string.h>

/* Of functions that a file may leave uncalled. */
#define EXN_ALONE static __attribute__((noinline, unused))

#ifdef __AVX__
enum { EXN_WIDTH = 8 };
#else
enum { EXN_WIDTH = 4 };
#endif

enum { EXN_LANES = 256, EXN_VECTORS = 8 };

typedef float exn_vector __attribute__((vector_size(EXN_WIDTH * sizeof(float))));

/* Before loops over vectors, so that these stay in registers. */
#ifdef __clang__
#define EXN_UNROLLED _Pragma("unroll")
#else
#define EXN_UNROLLED _Pragma("GCC unroll 8")
#endif

EXN_INLINE exn_vector exn_load(const float *from)
{
    exn_vector loaded;
    memcpy(&loaded, from, sizeof loaded);
    return loaded;
}

EXN_INLINE void exn_load_all(exn_vector *into, const float *from, uint32_t vectors)
{
    uint32_t i;
    EXN_UNROLLED
    for (i = 0; i < vectors; i++) {
        into[i] = exn_load(from + i * EXN_WIDTH);
    }
}

EXN_INLINE void exn_store_all(float *to, const exn_vector *from, uint32_t vectors)
{
    uint32_t i;
    EXN_UNROLLED
    for (i = 0; i < vectors; i++) {
        memcpy(to + i * EXN_WIDTH, from + i, sizeof *from);
    }
}

/* Adds products to so many vectors of sums, a constant. */
EXN_INLINE void exn_add_numbers(uint32_t vectors, float *sums, const float *w, uint32_t pitch,
                                const float *x, uint32_t n)
{
    exn_vector s[EXN_VECTORS];
    uint32_t i;
    exn_load_all(s, sums, vectors);
    for (; n > 0; n--, w += pitch, x++) {
        EXN_UNROLLED
        for (i = 0; i < vectors; i++) {
            s[i] += exn_load(w + i * EXN_WIDTH) * *x;
        }
    }
    exn_store_all(sums, s, vectors);
}

/* The same of the taps of a filter, from channel `first` on. */
EXN_INLINE void exn_add_pixels(uint32_t vectors, float *sums, const float *w, uint32_t pitch,
                               const float *const *taps, uint32_t first, uint32_t count)
{
    exn_vector s[EXN_VECTORS];
    uint32_t i;
    exn_load_all(s, sums, vectors);
    for (; count > 0; count--, w += pitch, taps++) {
        const float *x = *taps;
        if (x != NULL) {
            EXN_UNROLLED
            for (i = 0; i < vectors; i++) {
                s[i] += exn_load(w + i * EXN_WIDTH) * exn_load(x + first + i * EXN_WIDTH);
            }
        }
    }
    exn_store_all(sums, s, vectors);
}

/* Calls one of both for `vectors`, at most EXN_VECTORS. */
#define EXN_ADD(vectors, add, ...) \
    switch (vectors) { \
    case 1: add(1, __VA_ARGS__); break; \
    case 2: add(2, __VA_ARGS__); break; \
    case 3: add(3, __VA_ARGS__); break; \
    case 4: add(4, __VA_ARGS__); break; \
    case 5: add(5, __VA_ARGS__); break; \
    case 6: add(6, __VA_ARGS__); break; \
    case 7: add(7, __VA_ARGS__); break; \
    default: add(EXN_VECTORS, __VA_ARGS__); \
    }

EXN_INLINE uint32_t exn_vectors_of(uint32_t lanes)
{
    return lanes / EXN_WIDTH < EXN_VECTORS ? lanes / EXN_WIDTH : EXN_VECTORS;
}

EXN_ALONE void exn_add_products(float *sums, uint32_t lanes, const float *w, uint32_t pitch,
                                const float *x, uint32_t n)
{
    uint32_t i, first, vectors;
    for (first = 0; first + EXN_WIDTH <= lanes; first += vectors * EXN_WIDTH) {
        vectors = exn_vectors_of(lanes - first);
        EXN_ADD(vectors, exn_add_numbers, sums + first, w + first, pitch, x, n)
    }
    for (; n > 0 && first < lanes; n--, w += pitch, x++) {
        for (i = first; i < lanes; i++) {
            sums[i] += w[i] * *x;
        }
    }
}

EXN_ALONE void exn_add_taps(float *sums, uint32_t lanes, const float *w, uint32_t pitch,
                            const float *const *taps, uint32_t count)
{
    uint32_t i, first, vectors;
    for (first = 0; first + EXN_WIDTH <= lanes; first += vectors * EXN_WIDTH) {
        vectors = exn_vectors_of(lanes - first);
        EXN_ADD(vectors, exn_add_pixels, sums + first, w + first, pitch, taps, first, count)
    }
    for (; count > 0 && first < lanes; count--, w += pitch, taps++) {
        for (i = first; i < lanes && *taps != NULL; i++) {
            sums[i] += w[i] * (*taps)[i];
        }
    }
}

#endif
