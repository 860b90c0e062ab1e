/* Vectors of one instruction set, and a product of matrices with them. Included once for each, with
 *
 *   LANES           numbers in a vector; 1 is plain C
 *   SUMS            vectors that a product may keep in registers
 *   NAME(x)         what x is called for this instruction set
 *   TARGET          the attribute of functions that use it
 *   LEAST, MOST     of two vectors, lane by lane; the second where one is not a number
 *   POWER(x)        2^x to 3e-7 of itself for x up to 62, if there are instructions for it
 */
#define INLINE static inline ALWAYS TARGET
#define vec NAME(vec)
#define vec_bits NAME(vec_bits)

#if LANES > 1
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float NAME(vec_anywhere) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t vec_bits __attribute__((vector_size(4 * LANES)));

INLINE vec NAME(read)(const float *place)
{
    return *(const NAME(vec_anywhere) *)place;
}

INLINE void NAME(write)(float *place, vec x)
{
    *(NAME(vec_anywhere) *)place = x;
}

INLINE vec_bits NAME(bits_of)(vec x)
{
    return (vec_bits)x;
}

INLINE vec NAME(of_bits)(vec_bits bits)
{
    return (vec)bits;
}
#else
typedef float vec;
typedef uint32_t vec_bits;

INLINE vec NAME(read)(const float *place)
{
    return *place;
}

INLINE void NAME(write)(float *place, vec x)
{
    *place = x;
}

INLINE vec_bits NAME(bits_of)(vec x)
{
    vec_bits bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE vec NAME(of_bits)(vec_bits bits)
{
    vec x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
#endif

/* x in every lane. */
INLINE vec NAME(all)(float x)
{
    return x - (vec){0};
}

/* 2^x to 3e-7 of itself, x within -62 ... 62 or else taken as the nearer of them: so that what two
 * of them multiply to is a number still.
 */
INLINE vec NAME(power)(vec x)
{
#ifdef POWER
    return POWER(LEAST(NAME(all)(62.0f), x));
#else
    const float rounder = 12582912.0f; /* 3 * 2^22: added, only a whole number can stay */
    vec whole, rest, p;
    x = MOST(NAME(all)(-62.0f), LEAST(NAME(all)(62.0f), x));
    whole = x + rounder;
    rest = x - (whole - rounder);
    p = 1.32647273e-3f * rest + 9.67151299e-3f;
    p = p * rest + 5.55073358e-2f;
    p = p * rest + 2.40222424e-1f;
    p = p * rest + 6.93147004e-1f;
    p = p * rest + 1.0f;
    return NAME(of_bits)(NAME(bits_of)(p) + (NAME(bits_of)(whole) << 23));
#endif
}

/* Every so many of the numbers from `from` on. With the distance known, compilers use vectors. */
static TARGET void NAME(spread)(float *to, const float *from, size_t count, int64_t apart)
{
    size_t i;
    if (apart == 2) {
        for (i = 0; i < count; i++) {
            to[i] = from[2 * i];
        }
    } else if (apart == 4) {
        for (i = 0; i < count; i++) {
            to[i] = from[4 * i];
        }
    } else {
        for (i = 0; i < count; i++) {
            to[i] = from[(int64_t)i * apart];
        }
    }
}

/* Some outputs of `product` in one or two vectors of lanes; the counts are constants. */
INLINE void NAME(product_tile)(const affine *map, size_t output, const float *const *in,
                               size_t lane, float *out, size_t wide, int outputs, int vectors)
{
    const float *weights = map->weights + output;
    vec sums[SUMS], x[2];
    size_t i;
    int o, v;
    UNROLL for (o = 0; o < outputs; o++) {
        UNROLL for (v = 0; v < vectors; v++) {
            sums[o * vectors + v] = NAME(all)(map->biases[output + (size_t)o]);
        }
    }
    for (i = 0; i < map->inputs; i++, weights += map->outputs) {
        UNROLL for (v = 0; v < vectors; v++) {
            x[v] = NAME(read)(in[i] + lane + v * LANES);
        }
        UNROLL for (o = 0; o < outputs; o++) {
            UNROLL for (v = 0; v < vectors; v++) {
                sums[o * vectors + v] += weights[o] * x[v];
            }
        }
    }
    out += output * wide + lane;
    UNROLL for (o = 0; o < outputs; o++) {
        UNROLL for (v = 0; v < vectors; v++) {
            NAME(write)(out + (size_t)o * wide + v * LANES, sums[o * vectors + v]);
        }
    }
}

INLINE void NAME(product_lanes)(const affine *map, const float *const *in, size_t lane,
                                float *out, size_t wide, int vectors)
{
    enum { FEWER = SUMS / 6 };
    size_t o = 0;
    for (; o + (size_t)(SUMS / vectors) <= map->outputs; o += (size_t)(SUMS / vectors)) {
        NAME(product_tile)(map, o, in, lane, out, wide, SUMS / vectors, vectors);
    }
    for (; o + FEWER <= map->outputs; o += FEWER) {
        NAME(product_tile)(map, o, in, lane, out, wide, FEWER, vectors);
    }
    for (; o < map->outputs; o++) {
        NAME(product_tile)(map, o, in, lane, out, wide, 1, vectors);
    }
}

/* out[o][lane] = biases[o] + sum of weights[i][o] * in[i][lane]; rows of `out` are `wide` apart.
 * Lanes up to a whole vector are read and written.
 */
static TARGET void NAME(product)(const affine *map, const float *const *in, float *out,
                                 size_t wide, size_t lanes)
{
    size_t lane;
    for (lane = 0; lane < lanes; lane += 2 * LANES) {
        if (lane + LANES < lanes) {
            NAME(product_lanes)(map, in, lane, out, wide, 2);
        } else {
            NAME(product_lanes)(map, in, lane, out, wide, 1);
        }
    }
}
