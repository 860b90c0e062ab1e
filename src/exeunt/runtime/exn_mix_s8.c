#include "exn_s8.h"

#include <string.h>

#ifdef EXN_X86
static void widen_and_mix(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                          uint32_t outputs, int8_t *out)
{
    int16_t wide[EXN_COPIES * EXN_WIDEST];
    exn_mix_wide(conv, wide, exn_widen(wide, x, inputs), first, outputs, out);
}
#else
/* Outputs from `first` on, four at a time, of a pixel that is widened. */
static void mix_wide(const exn_conv_s8 *conv, const int16_t *x, uint32_t inputs, uint32_t first,
                     int8_t *out, const int8_t *end)
{
    const int16_t *weights = conv->weights + exn_packed_size(first, inputs);
    const exn_row *row = conv->requantize.rows + first;
    int32_t zero = conv->requantize.zero;
    for (; out < end; out += 4) {
        int32_t sums[4] = {0};
        weights = exn_dot_4_wide(sums, weights, x, inputs);
        exn_store_4(out, &row, sums, zero);
    }
}

EXN_APART static void widen_and_mix(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs,
                                    uint32_t first, uint32_t outputs, int8_t *out)
{
    EXN_WORDS int16_t wide[EXN_WIDEST];
    uint32_t whole = outputs & ~(uint32_t)3, n = exn_widen(wide, x, inputs);
    int8_t last[4];
    mix_wide(conv, wide, n, first, out, out + whole);
    if (whole < outputs) {
        mix_wide(conv, wide, n, first + whole, last, last + 4);
        memcpy(out + whole, last, outputs - whole);
    }
}
#endif

/* Outputs from `first` on, four at a time, of a pixel that is too long for that. */
static void mix_long(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                     int8_t *out, const int8_t *end)
{
    const int16_t *weights = conv->weights + exn_packed_size(first, inputs);
    const exn_row *row = conv->requantize.rows + first;
    int32_t zero = conv->requantize.zero;
    for (; out < end; out += 4) {
        int32_t sums[4] = {0};
        weights = exn_dot_4(sums, weights, x, inputs);
        exn_store_4(out, &row, sums, zero);
    }
}

void exn_mix_s8(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                uint32_t outputs, int8_t *out)
{
    uint32_t whole = outputs & ~(uint32_t)3;
    int8_t last[4];
    if (inputs <= EXN_WIDEST) {
        widen_and_mix(conv, x, inputs, first, outputs, out);
    } else {
        mix_long(conv, x, inputs, first, out, out + whole);
        if (whole < outputs) {
            mix_long(conv, x, inputs, first + whole, last, last + 4);
            memcpy(out + whole, last, outputs - whole);
        }
    }
    exn_limit(out, outputs, &conv->requantize);
}
