/* Powers of 2 below 1, 2^20 being 1. */
#ifndef EXN_HALVING_H
#define EXN_HALVING_H

#include "exn_access.h"

extern const uint32_t exn_halving[256];

enum { EXN_HALVING_BITS = 20 };

/* exp((score - best) * softness), as 2^(-halvings / 256). */
EXN_INLINE uint32_t exn_likelihood(uint64_t halvings)
{
    return halvings >> 8 > EXN_HALVING_BITS ? 0 : exn_halving[halvings & 255] >> (halvings >> 8);
}

#endif
