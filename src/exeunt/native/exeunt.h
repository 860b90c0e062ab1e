/* The library as a whole: what it was compiled from, and which instruction sets it may use. */
#ifndef EXEUNT_H
#define EXEUNT_H

#if defined(__GNUC__)
#define EXEUNT_API __attribute__((visibility("default")))
#else
#define EXEUNT_API
#endif

/* Instruction sets, plainest first. */
enum simd { SIMD_SCALAR, SIMD_128, SIMD_AVX2, SIMD_AVX512, SIMD_COUNT };

/* Whether this build and this processor have an instruction set. */
EXEUNT_API int exeunt_has(int simd);

/* The hash of the sources that this was compiled from. */
EXEUNT_API const char *exeunt_sources(void);

#endif
