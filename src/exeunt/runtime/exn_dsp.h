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

EXN_INLINE uint32_t exn_widen(int16_t *wide, const int8_t *x, uint32_t n)
{
    const int8_t *end = x + (n & ~(uint32_t)7);
    uint32_t last[2] = {0}, pairs[2];
    uint32_t k, left = n % 8;
    for (; x < end; x += 4, wide += 4) {
        pairs[0] = exn_even(exn_word(x));
        pairs[1] = exn_odd(exn_word(x));
        memcpy(wide, pairs, sizeof pairs);
    }
    if (left > 0) {
        memcpy(last, x, left);
        for (k = 0; k < 2; k++, wide += 4) {
            pairs[0] = exn_even(last[k]);
            pairs[1] = exn_odd(last[k]);
            memcpy(wide, pairs, sizeof pairs);
        }
    }
    return (n + 7) & ~(uint32_t)7;
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

/* Eight numbers in a round. */
#define EXN_ALL_ROWS(four) \
    __asm__("1:\n\t" four EXN_FOUR_ROWS four EXN_FOUR_ROWS \
            "cmp    %[x], %[end]\n\t" \
            "bne    1b" \
            : [ab] "+&r"(sums->ab), [a] "+&r"(sums->a), [cd] "+&r"(sums->cd), [c] "+&r"(sums->c), \
              [w] "+&r"(w), [x] "+&r"(x), [e] "=&r"(even), [o] "=&r"(odd) \
            : [end] "r"(end) \
            : "r8", "r9", "r10", "r11", "cc", "memory")

EXN_INLINE const int16_t *exn_rows_wide(exn_packed_sums *sums, const int16_t *w, const int16_t *x,
                                        uint32_t n)
{
    const int16_t *end = x + n;
    uint32_t even, odd;
    EXN_ALL_ROWS(EXN_FOUR_WIDE);
    return w;
}

EXN_INLINE const int16_t *exn_rows(exn_packed_sums *sums, const int16_t *w, const int8_t *x,
                                   uint32_t n)
{
    const int8_t *end = x + n;
    uint32_t even, odd;
    EXN_ALL_ROWS(EXN_FOUR_BYTES);
    return w;
}

/* Three rows of eight weights, the later four first, so that one pointer goes over them. */
EXN_INLINE const int16_t *exn_dot_3_s16(int32_t sums[3], const int16_t *w, const int16_t *h,
                                        uint32_t n)
{
    uint32_t h0, h1, w0, w1;
    const int16_t *end = h + n;
    __asm__("1:\n\t"
            "ldrd   %[h0], %[h1], [%[h], #8]\n\t"
            "ldrd   %[w0], %[w1], [%[w], #8]\n\t"
            "smlad  %[a], %[w0], %[h0], %[a]\n\t"
            "smlad  %[a], %[w1], %[h1], %[a]\n\t"
            "ldrd   %[w0], %[w1], [%[w], #24]\n\t"
            "smlad  %[b], %[w0], %[h0], %[b]\n\t"
            "smlad  %[b], %[w1], %[h1], %[b]\n\t"
            "ldrd   %[w0], %[w1], [%[w], #40]\n\t"
            "smlad  %[c], %[w0], %[h0], %[c]\n\t"
            "smlad  %[c], %[w1], %[h1], %[c]\n\t"
            "ldrd   %[h0], %[h1], [%[h]], #16\n\t"
            "ldrd   %[w0], %[w1], [%[w], #16]\n\t"
            "smlad  %[b], %[w0], %[h0], %[b]\n\t"
            "smlad  %[b], %[w1], %[h1], %[b]\n\t"
            "ldrd   %[w0], %[w1], [%[w], #32]\n\t"
            "smlad  %[c], %[w0], %[h0], %[c]\n\t"
            "smlad  %[c], %[w1], %[h1], %[c]\n\t"
            "ldrd   %[w0], %[w1], [%[w]], #48\n\t"
            "smlad  %[a], %[w0], %[h0], %[a]\n\t"
            "smlad  %[a], %[w1], %[h1], %[a]\n\t"
            "cmp    %[h], %[end]\n\t"
            "bne    1b"
            : [a] "+&r"(sums[0]), [b] "+&r"(sums[1]), [c] "+&r"(sums[2]), [w] "+&r"(w),
              [h] "+&r"(h), [h0] "=&r"(h0), [h1] "=&r"(h1), [w0] "=&r"(w0), [w1] "=&r"(w1)
            : [end] "r"(end)
            : "cc", "memory");
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

#define EXN_TAP \
    "ldr    %[o], [%[taps]], #4\n\t" \
    "ldr    %[wo], [%[w]], #16\n\t" /* EXN_BLOCK */ \
    "ldr    %[o], [%[o], %[first]]\n\t" \
    "sxtb16 %[we], %[wo]\n\t" \
    "sxtb16 %[wo], %[wo], ror #8\n\t" \
    "sxtb16 %[e], %[o]\n\t" \
    "sxtb16 %[o], %[o], ror #8\n\t" \
    "smlabb %[a], %[e], %[we], %[a]\n\t" \
    "smlatt %[c], %[e], %[we], %[c]\n\t" \
    "smlabb %[b], %[o], %[wo], %[b]\n\t" \
    "smlatt %[d], %[o], %[wo], %[d]\n\t"

#define EXN_FILTER(taps_code) \
    __asm__(taps_code \
            : [a] "+&r"(sums[0]), [b] "+&r"(sums[1]), [c] "+&r"(sums[2]), [d] "+&r"(sums[3]), \
              [w] "+&r"(w), [taps] "+&r"(taps), [e] "=&r"(e), [o] "=&r"(o), [we] "=&r"(we), \
              [wo] "=&r"(wo) \
            : [first] "r"(first) \
            : "memory")

EXN_INLINE void exn_filter_lanes(int32_t sums[EXN_LANES], const int8_t *w,
                                 const int8_t *const *taps, uint32_t count, uint32_t first)
{
    uint32_t e, o, we, wo;
    for (; count >= 3; count -= 3) {
        EXN_FILTER(EXN_TAP EXN_TAP EXN_TAP);
    }
    for (; count > 0; count--) {
        EXN_FILTER(EXN_TAP);
    }
}

#endif
