/* The inner loops compiled once for each instruction set, and the choice among them. */
#include "simd.h"

#include <string.h>

#ifndef EXEUNT_SOURCES
#define EXEUNT_SOURCES "unknown"
#endif

#if defined(__GNUC__)
#define ALWAYS __attribute__((always_inline))
#else
#define ALWAYS
#endif

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 24")
#else
#define UNROLL
#endif

#define KERNELS_OF(name)                                                                         \
    {                                                                                            \
        spread_##name, bound_##name, product_##name, step_##name, activate_##name,               \
            sum_rows_##name, sum_gradients_##name, map_rows_##name, map_gradients_##name         \
    }

#define LANES 1
#define SUMS 12
#define NAME(x) x##_scalar
#define TARGET
#define LEAST(a, b) ((a) < (b) ? (a) : (b))
#define MOST(a, b) ((a) > (b) ? (a) : (b))
#include "kernels.h"

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

#define LANES 4
#define SUMS 12
#define NAME(x) x##_128
#define TARGET
#define LEAST(a, b) ((vec)_mm_min_ps((__m128)(a), (__m128)(b)))
#define MOST(a, b) ((vec)_mm_max_ps((__m128)(a), (__m128)(b)))
#include "kernels.h"

#define LANES 8
#define SUMS 12
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LEAST(a, b) ((vec)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MOST(a, b) ((vec)_mm256_max_ps((__m256)(a), (__m256)(b)))
#include "kernels.h"

#define LANES 16
#define SUMS 24
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq")))
#define REST(x) ((vec)_mm512_reduce_ps((__m512)(x), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC))
#define SHIFT(x, y) ((vec)_mm512_scalef_ps((__m512)(x), (__m512)(y)))
#define RECIPROCAL(x) ((vec)_mm512_rcp14_ps((__m512)(x)))
#define LEAST(a, b) ((vec)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MOST(a, b) ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
#include "kernels.h"

static const kernels KERNELS[SIMD_COUNT] = {
    [SIMD_SCALAR] = KERNELS_OF(scalar),
    [SIMD_128] = KERNELS_OF(128),
    [SIMD_AVX2] = KERNELS_OF(avx2),
    [SIMD_AVX512] = KERNELS_OF(avx512),
};

static int has(int simd)
{
    __builtin_cpu_init();
    switch (simd) {
    case SIMD_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case SIMD_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
    default:
        return 1;
    }
}

#elif defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>

#define LANES 4
#define SUMS 24
#define NAME(x) x##_128
#define TARGET
#define LEAST(a, b) ((vec)vminq_f32((float32x4_t)(a), (float32x4_t)(b)))
#define MOST(a, b) ((vec)vmaxq_f32((float32x4_t)(a), (float32x4_t)(b)))
#include "kernels.h"

static const kernels KERNELS[SIMD_COUNT] = {
    [SIMD_SCALAR] = KERNELS_OF(scalar),
    [SIMD_128] = KERNELS_OF(128),
};

static int has(int simd)
{
    (void)simd;
    return 1;
}

#else
static const kernels KERNELS[SIMD_COUNT] = {
    [SIMD_SCALAR] = KERNELS_OF(scalar),
};

static int has(int simd)
{
    (void)simd;
    return 1;
}
#endif

const kernels *kernels_of(int simd)
{
    int there = simd >= 0 && simd < SIMD_COUNT && KERNELS[simd].product != NULL && has(simd);
    return there ? &KERNELS[simd] : NULL;
}

int exeunt_has(int simd)
{
    return kernels_of(simd) != NULL;
}

const char *exeunt_sources(void)
{
    return EXEUNT_SOURCES;
}
