/* Vectors of one instruction set, and a product of matrices with them. Included once for each, with
 *
 *   LANES           numbers in a vector; 1 is plain C
 *   SUMS            vectors that a product may keep in registers
 *   NAME(x)         what x is called for this instruction set
 *   TARGET          the attribute of functions that use it
 *   LEAST, MOST     of two vectors, lane by lane; the second where one is not a number
 *   REST, SHIFT     x less the whole number below it; x times 2 to the whole number below y. Both,
 *                   or neither where there are no instructions for them
 *   RECIPROCAL(x)   1 / x to 2^-12 of itself, if that is faster than a division
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

/* x becomes 2^x to 3e-7 of itself, of each of some vectors; within -62 ... 62 or else taken as the
 * nearer of them: so that what two of them multiply to is a number still. All take a step before
 * any takes the next, which would have to wait for it.
 */
INLINE void NAME(powers)(vec *x, int count)
{
#define EACH UNROLL for (k = 0; k < count; k++)
    vec rest[SUMS], p[SUMS];
    int k;
#ifdef REST
    EACH x[k] = LEAST(NAME(all)(62.0f), x[k]);
    EACH rest[k] = REST(x[k]);
    EACH p[k] = 1.87757669e-3f * rest[k] + 8.98933969e-3f;
    EACH p[k] = p[k] * rest[k] + 5.58263175e-2f;
    EACH p[k] = p[k] * rest[k] + 0.240153611f;
    EACH p[k] = p[k] * rest[k] + 0.693153083f;
    EACH p[k] = p[k] * rest[k] + 0.99999994f;
    EACH x[k] = SHIFT(p[k], x[k]);
#else
    const float rounder = 12582912.0f; /* 3 * 2^22: added, only a whole number can stay */
    EACH x[k] = MOST(NAME(all)(-62.0f), LEAST(NAME(all)(62.0f), x[k]));
    EACH rest[k] = x[k];
    EACH x[k] = x[k] + rounder;
    EACH rest[k] = rest[k] - (x[k] - rounder);
    EACH p[k] = 1.32647273e-3f * rest[k] + 9.67151299e-3f;
    EACH p[k] = p[k] * rest[k] + 5.55073358e-2f;
    EACH p[k] = p[k] * rest[k] + 2.40222424e-1f;
    EACH p[k] = p[k] * rest[k] + 6.93147004e-1f;
    EACH p[k] = p[k] * rest[k] + 1.0f;
    EACH x[k] = NAME(of_bits)(NAME(bits_of)(p[k]) + (NAME(bits_of)(x[k]) << 23));
#endif
#undef EACH
}

/* a / b */
INLINE vec NAME(over)(vec a, vec b)
{
#ifdef RECIPROCAL
    vec about = RECIPROCAL(b), found = a * about;
    return found + about * (a - b * found);
#else
    return a / b;
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

/* Keeps every lane of a row between its limits; lanes up to a whole vector are read and written. */
static TARGET void NAME(bound)(float *row, const float *low, const float *high, size_t lanes)
{
    size_t lane;
    for (lane = 0; lane < lanes; lane += LANES) {
        vec x = MOST(NAME(read)(low + lane), NAME(read)(row + lane));
        NAME(write)(row + lane, LEAST(NAME(read)(high + lane), x));
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
