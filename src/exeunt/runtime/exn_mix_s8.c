#include "exn_s8.h"

#include <string.h>

#ifdef EXN_DSP
#include "exn_dsp_mix.h"

EXN_INLINE void mix_wide(const exn_conv_s8 *conv, const int16_t *wide, uint32_t inputs,
                         uint32_t first, int8_t *out, const int8_t *out_end)
{
    exn_mix_wide_fours(conv->weights + exn_packed_size(first, inputs), wide,
                       wide + exn_whole_fours(inputs), conv->requantize.rows + first,
                       exn_left_out(inputs), out_end, conv->requantize.zero, out);
}
#elif !defined(EXN_X86)
/* Outputs of packed rows over widened numbers, four at a time up to `out_end`. */
EXN_INLINE void mix_wide(const exn_conv_s8 *conv, const int16_t *wide, uint32_t inputs,
                         uint32_t first, int8_t *out, const int8_t *out_end)
{
    const int16_t *w = conv->weights + exn_packed_size(first, inputs);
    const exn_row *row = conv->requantize.rows + first;
    while (out != out_end) {
        exn_packed_sums found = {0, 0, 0, 0};
        w = exn_rows_wide(&found, w, wide, (inputs + 7) & ~(uint32_t)7);
        out = exn_store_packed(out, &row, &found, conv->requantize.zero);
    }
}
#endif

#ifdef EXN_X86
static void widen_and_mix(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                          uint32_t outputs, int8_t *out)
{
    int16_t wide[EXN_COPIES * EXN_WIDEST];
    exn_mix_wide(conv, wide, exn_widen(wide, x, inputs), first, outputs, out);
    exn_limit(out, outputs, &conv->requantize);
}
#else
EXN_APART static void widen_and_mix(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs,
                                    uint32_t first, uint32_t outputs, int8_t *out)
{
    EXN_WORDS int16_t wide[EXN_WIDEST];
    uint32_t left = outputs % 4, whole = outputs - left;
    exn_widen(wide, x, inputs);
    if (whole > 0) {
        mix_wide(conv, wide, inputs, first, out, out + whole);
    }
    if (left > 0) {
        int8_t last[4];
        mix_wide(conv, wide, inputs, first + whole, last, last + 4);
        exn_copy_few(out + whole, last, left);
    }
    exn_limit(out, outputs, &conv->requantize);
}
#endif

/* Four outputs at a time, of a pixel that is too long for that. */
static void mix_fours(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                      int8_t *out, const int8_t *end)
{
    const int16_t *weights = conv->weights + exn_packed_size(first, inputs);
    const exn_row *row = conv->requantize.rows + first;
    int32_t zero = conv->requantize.zero;
#ifdef EXN_DSP
    if (inputs % 4 == 0 && inputs <= EXN_RUN && out != end) {
        exn_mix_byte_fours(weights, x, x + inputs, row, exn_left_out(inputs), end, zero, out);
        return;
    }
#endif
    while (out != end) {
        int32_t sums[4] = {0};
        weights = exn_dot_4(sums, weights, x, inputs);
        out = exn_store_4(out, &row, sums, zero);
    }
}

EXN_APART static void mix_long(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs,
                               uint32_t first, uint32_t outputs, int8_t *out)
{
    uint32_t left = outputs % 4, whole = outputs - left;
    mix_fours(conv, x, inputs, first, out, out + whole);
    if (left > 0) {
        int8_t last[4];
        mix_fours(conv, x, inputs, first + whole, last, last + 4);
        exn_copy_few(out + whole, last, left);
    }
    exn_limit(out, outputs, &conv->requantize);
}

void exn_mix_s8(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                uint32_t outputs, int8_t *out)
{
    if (inputs <= EXN_WIDEST) {
        widen_and_mix(conv, x, inputs, first, outputs, out);
    } else {
        mix_long(conv, x, inputs, first, outputs, out);
    }
}
