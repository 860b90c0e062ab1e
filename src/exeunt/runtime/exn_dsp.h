/* What takes most of the time, for Cortex-M with the DSP extension; `exn_plain.h` says it in C.
 *
 * A word holds two weights, each of them two rows in one: 256 b + a, rows a and b. Multiplied with
 * two numbers it gives the sum of 256 b + a; its lower bytes, extended, give that of a. Numbers are
 * extended two at a time, the even and the odd bytes of a word.
 */
#ifndef EXN_DSP_H
#define EXN_DSP_H

EXN_INLINE int32_t exn_high(int32_t a, int32_t b)
{
    int32_t high;
    __asm__("smmul %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
}

/* The last bit that is shifted out is the carry. */
EXN_INLINE int32_t exn_halve(int32_t value, int32_t shift, int32_t offset)
{
    __asm__("asrs %0, %0, %1\n\tadc %0, %0, %2" : "+&r"(value) : "r"(shift), "r"(offset) : "cc");
    return value;
}

EXN_INLINE int32_t exn_int8(int32_t value)
{
    __asm__("ssat %0, #8, %1" : "=r"(value) : "r"(value));
    return value;
}

EXN_INLINE int32_t exn_int16(int32_t value)
{
    __asm__("ssat %0, #16, %1" : "=r"(value) : "r"(value));
    return value;
}

EXN_INLINE int32_t exn_int17(int32_t value)
{
    __asm__("ssat %0, #17, %1" : "=r"(value) : "r"(value));
    return value;
}

EXN_INLINE int32_t exn_scale_next(const exn_row **row, int32_t sum, int32_t offset)
{
    int32_t scaled;
    __asm__("ldmia  %[row]!, {r8, r9, r10}\n\t"
            "add    r8, r8, %[sum], lsl #3\n\t" /* EXN_SPARE */
            "smmul  r8, r8, r9\n\t"
            "asrs   r8, r8, r10\n\t"
            "adc    %[scaled], r8, %[offset]"
            : [scaled] "=r"(scaled), [row] "+&r"(*row)
            : [sum] "r"(sum), [offset] "r"(offset)
            : "r8", "r9", "r10", "cc", "memory");
    return scaled;
}

/* Half of an output's last place, and the zero that outputs begin at, as fine as they are before they
 * are rounded. */
EXN_INLINE int32_t exn_fine_zero(int32_t zero)
{
    return zero * (1 << EXN_FINE) + (1 << (EXN_FINE - 1));
}

EXN_INLINE int32_t exn_height(const exn_line *line, int32_t at)
{
    int32_t start, slope;
    __asm__("ldrd %0, %1, [%2]\n\tmla %0, %1, %3, %0"
            : "=&r"(start), "=&r"(slope)
            : "r"(line), "r"(at), "m"(*line));
    return start;
}

/* Numbers that are widened before many rows are multiplied with them. */
enum { EXN_WIDEST = 240 };

/* Places that each takes then, and outputs that are found at once, whole blocks of channels. */
enum { EXN_COPIES = 1, EXN_OUTPUTS = EXN_BLOCK };

EXN_INLINE uint32_t exn_word(const void *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* The even and the odd of four numbers, as pairs of 16 bits. */
EXN_INLINE uint32_t exn_even(uint32_t word)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
}

EXN_INLINE uint32_t exn_odd(uint32_t word)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

/* The last one, two or three numbers of `n`, and zeros; they begin at `x`. */
EXN_INLINE uint32_t exn_last_word(const int8_t *x, uint32_t left, uint32_t n)
{
    uint32_t word = 0;
    if (n >= 4) {
        return exn_word(x + left - 4) >> (32 - 8 * left);
    }
    for (; left > 0; left--) {
        word = word << 8 | (uint8_t)x[left - 1];
    }
    return word;
}

#define EXN_WIDEN_FOUR \
    "sxtb16 %[e], %[o]\n\t" \
    "sxtb16 %[o], %[o], ror #8\n\t" \
    "strd   %[e], %[o], [%[wide]], #8\n\t"

EXN_INLINE int16_t *exn_widen_four(int16_t *wide, uint32_t word)
{
    uint32_t even;
    __asm__ __volatile__(EXN_WIDEN_FOUR
                         : [wide] "+&r"(wide), [e] "=&r"(even), [o] "+&r"(word)
                         :
                         : "memory");
    return wide;
}

EXN_INLINE uint32_t exn_widen(int16_t *wide, const int8_t *x, uint32_t n)
{
    const int8_t *end = x + (n & ~(uint32_t)7);
    uint32_t even, odd, left = n & 7;
    while (x != end) {
        __asm__ __volatile__("ldr    %[o], [%[x]], #4\n\t" EXN_WIDEN_FOUR
                             "ldr    %[o], [%[x]], #4\n\t" EXN_WIDEN_FOUR
                             : [wide] "+&r"(wide), [x] "+&r"(x), [e] "=&r"(even), [o] "=&r"(odd)
                             :
                             : "memory");
    }
    if (left > 0) {
        if (left >= 4) {
            wide = exn_widen_four(wide, exn_word(x));
            x += 4;
            left -= 4;
            exn_widen_four(wide, left > 0 ? exn_last_word(x, left, n) : 0);
        } else {
            wide = exn_widen_four(wide, exn_last_word(x, left, n));
            exn_widen_four(wide, 0);
        }
    }
    return (n + 7) & ~(uint32_t)7;
}

/* Numbers of two pixels in turn, two and two, filled up to a multiple of 4. */
EXN_APART EXN_UNUSED static void exn_widen_twice(int16_t *wide, const int8_t *x, const int8_t *y, uint32_t n)
{
    const int8_t *end = x + (n & ~(uint32_t)3);
    uint32_t a, b, c;
    while (x != end) {
        __asm__ __volatile__("ldr    %[a], [%[x]], #4\n\t"
                             "ldr    %[b], [%[y]], #4\n\t"
                             "sxtb16 %[c], %[a]\n\t"
                             "str    %[c], [%[wide]], #4\n\t"
                             "sxtb16 %[c], %[b]\n\t"
                             "sxtb16 %[a], %[a], ror #8\n\t"
                             "sxtb16 %[b], %[b], ror #8\n\t"
                             "str    %[c], [%[wide]], #4\n\t"
                             "strd   %[a], %[b], [%[wide]], #8\n\t"
                             : [wide] "+&r"(wide), [x] "+&r"(x), [y] "+&r"(y), [a] "=&r"(a),
                               [b] "=&r"(b), [c] "=&r"(c)
                             :
                             : "memory");
    }
    if (n % 4 > 0) {
        a = exn_last_word(x, n % 4, n);
        b = exn_last_word(y, n % 4, n);
        uint32_t words[4];
        words[0] = exn_even(a);
        words[1] = exn_even(b);
        words[2] = exn_odd(a);
        words[3] = exn_odd(b);
        memcpy(wide, words, sizeof words);
    }
}

/* Four rows, four numbers: their pairs are in e and o. */
#define EXN_FOUR_ROWS \
    "ldmia  %[w]!, {r8, r9, r10, r11}\n\t" \
    "smlad  %[ab], r8, %[e], %[ab]\n\t" \
    "sxtb16 r8, r8\n\t" \
    "smlad  %[a], r8, %[e], %[a]\n\t" \
    "smlad  %[ab], r9, %[o], %[ab]\n\t" \
    "sxtb16 r9, r9\n\t" \
    "smlad  %[a], r9, %[o], %[a]\n\t" \
    "smlad  %[cd], r10, %[e], %[cd]\n\t" \
    "sxtb16 r10, r10\n\t" \
    "smlad  %[c], r10, %[e], %[c]\n\t" \
    "smlad  %[cd], r11, %[o], %[cd]\n\t" \
    "sxtb16 r11, r11\n\t" \
    "smlad  %[c], r11, %[o], %[c]\n\t"

#define EXN_FOUR_BYTES \
    "ldr    %[o], [%[x]], #4\n\t" \
    "sxtb16 %[e], %[o]\n\t" \
    "sxtb16 %[o], %[o], ror #8\n\t"

#define EXN_FOUR_WIDE "ldrd   %[e], %[o], [%[x]], #8\n\t"

/* Sixteen numbers in a round; where eight are left over, the first begins in the middle. */
#define EXN_ALL_ROWS(four) \
    __asm__("lsls   %[e], %[e], #28\n\t" \
            "bmi    2f\n" \
            "1:\n\t" four EXN_FOUR_ROWS four EXN_FOUR_ROWS \
            "2:\n\t" four EXN_FOUR_ROWS four EXN_FOUR_ROWS \
            "cmp    %[x], %[end]\n\t" \
            "bne    1b" \
            : [ab] "+&r"(sums->ab), [a] "+&r"(sums->a), [cd] "+&r"(sums->cd), [c] "+&r"(sums->c), \
              [w] "+&r"(w), [x] "+&r"(x), [e] "+&r"(even), [o] "=&r"(odd) \
            : [end] "r"(end) \
            : "r8", "r9", "r10", "r11", "cc", "memory")

EXN_INLINE const int16_t *exn_rows_wide(exn_packed_sums *sums, const int16_t *w, const int16_t *x,
                                        uint32_t n)
{
    const int16_t *end = x + n;
    uint32_t even = n, odd;
    EXN_ALL_ROWS(EXN_FOUR_WIDE);
    return w;
}

EXN_INLINE const int16_t *exn_rows(exn_packed_sums *sums, const int16_t *w, const int8_t *x,
                                   uint32_t n)
{
    const int8_t *end = x + n;
    uint32_t even = n, odd;
    EXN_ALL_ROWS(EXN_FOUR_BYTES);
    return w;
}

/* Three rows of eight weights. */
#define EXN_EIGHT_STATES \
    "ldrd   %[h0], %[h1], [%[h]]\n\t" \
    "ldrd   %[h2], %[h3], [%[h], #8]\n\t" \
    EXN_EIGHT_WEIGHTS("%[a]") EXN_EIGHT_WEIGHTS("%[b]") EXN_EIGHT_WEIGHTS("%[c]") \
    "add    %[h], %[h], #16\n\t"

#define EXN_EIGHT_WEIGHTS(sum) \
    "ldmia  %[w]!, {r8, r9, r10, r11}\n\t" \
    "smlad  " sum ", r8, %[h0], " sum "\n\t" \
    "smlad  " sum ", r9, %[h1], " sum "\n\t" \
    "smlad  " sum ", r10, %[h2], " sum "\n\t" \
    "smlad  " sum ", r11, %[h3], " sum "\n\t"

#define EXN_STATES_TIMES(states) \
    __asm__(states \
            : [a] "+&r"(sums[0]), [b] "+&r"(sums[1]), [c] "+&r"(sums[2]), [w] "+&r"(w), \
              [h] "+&r"(h), [h0] "=&r"(h0), [h1] "=&r"(h1), [h2] "=&r"(h2), [h3] "=&r"(h3) \
            : \
            : "r8", "r9", "r10", "r11", "memory")

EXN_INLINE const int16_t *exn_dot_3_s16(int32_t sums[3], const int16_t *w, const int16_t *h,
                                        uint32_t n)
{
    uint32_t h0, h1, h2, h3;
    for (; n >= 16; n -= 16) {
        EXN_STATES_TIMES(EXN_EIGHT_STATES EXN_EIGHT_STATES);
    }
    if (n > 0) {
        EXN_STATES_TIMES(EXN_EIGHT_STATES);
    }
    return w;
}

#define EXN_PAIR \
    "ldmia  %[words]!, {r8, r9, r10}\n\t" \
    "ldr    %[h], [%[state]]\n\t" \
    "smlatt r10, r8, %[h], r10\n\t" \
    "smlabb r9, r8, %[h], r9\n\t" \
    "lsl    r10, r10, #1\n\t" \
    "pkhtb  %[h], r10, r9, asr #15\n\t" \
    "str    %[h], [%[state]], #4\n\t"

/* It writes, which nobody would miss who looks at its outputs alone. */
#define EXN_BLEND(pairs_code) \
    __asm__ __volatile__(pairs_code \
            : [state] "+&r"(state), [words] "+&r"(words), [h] "=&r"(h) \
            : \
            : "r8", "r9", "r10", "memory")

EXN_INLINE void exn_blend(int16_t *state, const int32_t *words, uint32_t pairs)
{
    uint32_t h;
    for (; pairs >= 4; pairs -= 4) {
        EXN_BLEND(EXN_PAIR EXN_PAIR EXN_PAIR EXN_PAIR);
    }
    for (; pairs > 0; pairs--) {
        EXN_BLEND(EXN_PAIR);
    }
}

enum { EXN_LANES = 4 };

/* Two taps: four channels of each, then the first two channels of both and the others. */
#define EXN_TWO_TAPS \
    "ldrd   %[p], %[q], [%[taps]], #8\n\t" \
    "ldr    %[x], [%[p], %[first]]\n\t" \
    "ldr    %[y], [%[q], %[first]]\n\t" \
    "pkhbt  %[p], %[x], %[y], lsl #16\n\t" \
    "pkhtb  %[q], %[y], %[x], asr #16\n\t" EXN_FOUR_CHANNELS

#define EXN_FOUR_CHANNELS \
    "ldrd   %[x], %[y], [%[w]], #8\n\t" \
    "sxtb16 %[e], %[p]\n\t" \
    "smlad  %[a], %[e], %[x], %[a]\n\t" \
    "sxtb16 %[e], %[p], ror #8\n\t" \
    "smlad  %[b], %[e], %[y], %[b]\n\t" \
    "ldrd   %[x], %[y], [%[w]], #8\n\t" \
    "sxtb16 %[e], %[q]\n\t" \
    "smlad  %[c], %[e], %[x], %[c]\n\t" \
    "sxtb16 %[e], %[q], ror #8\n\t" \
    "smlad  %[d], %[e], %[y], %[d]\n\t"

/* Four channels of the last tap. */
EXN_INLINE const int16_t *exn_filter_one(int32_t sums[EXN_LANES], const int16_t *w, uint32_t word)
{
    uint32_t x, y, e;
    __asm__("ldrd   %[x], %[y], [%[w]], #8\n\t"
            "sxtb16 %[e], %[word]\n\t"
            "sxtb16 %[word], %[word], ror #8\n\t"
            "smlabb %[a], %[e], %[x], %[a]\n\t"
            "smlabt %[b], %[word], %[x], %[b]\n\t"
            "smlatb %[c], %[e], %[y], %[c]\n\t"
            "smlatt %[d], %[word], %[y], %[d]\n\t"
            : [a] "+&r"(sums[0]), [b] "+&r"(sums[1]), [c] "+&r"(sums[2]), [d] "+&r"(sums[3]),
              [w] "+&r"(w), [word] "+&r"(word), [x] "=&r"(x), [y] "=&r"(y), [e] "=&r"(e)
            :
            : "memory");
    return w;
}

EXN_INLINE const int16_t *exn_filter_lanes(int32_t sums[EXN_LANES], const int16_t *w,
                                           const int8_t *const *taps, uint32_t count,
                                           uint32_t first)
{
    uint32_t p, q, x, y, e;
    for (; count >= 2; count -= 2) {
        __asm__(EXN_TWO_TAPS
                : [a] "+&r"(sums[0]), [b] "+&r"(sums[1]), [c] "+&r"(sums[2]), [d] "+&r"(sums[3]),
                  [w] "+&r"(w), [taps] "+&r"(taps), [p] "=&r"(p), [q] "=&r"(q), [x] "=&r"(x),
                  [y] "=&r"(y), [e] "=&r"(e)
                : [first] "r"(first)
                : "memory");
    }
    return count > 0 ? exn_filter_one(sums, w, exn_word(*taps + first)) : w;
}

/* The last one, two or three channels of at least four, which lie at the end of the words at
 * `first`. */
EXN_INLINE void exn_filter_rest(int32_t sums[EXN_LANES], const int16_t *w,
                                const int8_t *const *taps, uint32_t count, uint32_t first,
                                uint32_t left)
{
    uint32_t p, q, x, y, e, by = 32 - 8 * left;
    for (; count >= 2; count -= 2, taps += 2) {
        x = exn_word(taps[0] + first) >> by;
        y = exn_word(taps[1] + first) >> by;
        __asm__("pkhbt  %[p], %[x], %[y], lsl #16\n\t"
                "pkhtb  %[q], %[y], %[x], asr #16\n\t" EXN_FOUR_CHANNELS
                : [a] "+&r"(sums[0]), [b] "+&r"(sums[1]), [c] "+&r"(sums[2]), [d] "+&r"(sums[3]),
                  [w] "+&r"(w), [x] "+&r"(x), [y] "+&r"(y), [p] "=&r"(p), [q] "=&r"(q),
                  [e] "=&r"(e)
                :
                : "memory");
    }
    if (count > 0) {
        exn_filter_one(sums, w, exn_word(*taps + first) >> by);
    }
}

#endif
