/* 1x1 convolutions of one pixel, or of two that lie side by side. */
#include "exn_s8.h"

#ifdef EXN_DSP
#include "exn_dsp_mix.h"
#endif

#include <string.h>

/* Four outputs at a time, of any pixel. */
EXN_APART static void mix_any(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs,
                              uint32_t first, uint32_t outputs, int8_t *out)
{
    const int16_t *weights = conv->weights + exn_packed_size(first, inputs);
#ifdef EXN_VECTOR
    int16_t wide[EXN_WIDEST];
    int widened = inputs <= EXN_WIDEST;
    uint32_t filled = widened ? exn_widen(wide, x, inputs) : 0;
#endif
    while (outputs > 0) {
        int32_t sums[4] = {0};
        uint32_t count = outputs < 4 ? outputs : 4;
#ifdef EXN_VECTOR
        weights = widened ? exn_dot_4_wide(sums, weights, wide, filled)
                          : exn_dot_4(sums, weights, x, inputs);
#else
        weights = exn_dot_4(sums, weights, x, inputs);
#endif
        exn_store(out, &conv->requantize, first, sums, count);
        exn_limit(out, count, &conv->requantize);
        first += count;
        out += count;
        outputs -= count;
    }
}

#ifdef EXN_DSP
/* Four outputs at a time of one or two pixels that are widened. */
EXN_INLINE void mix_fours(const exn_conv_s8 *conv, const int16_t *wide, uint32_t pixels,
                          uint32_t inputs, uint32_t first, uint32_t outputs, int8_t *out,
                          int32_t apart)
{
    const int16_t *weights = conv->weights + exn_packed_size(first, inputs);
    const int16_t *end = wide + pixels * exn_whole_fours(inputs);
    const exn_four *fours = conv->requantize.fours + first / 4;
    int32_t zero = exn_fine_zero(conv->requantize.zero);
    if (pixels == 2) {
        exn_mix_twice(weights, wide, end, fours, exn_left_out(inputs), out + outputs, zero, out,
                      apart);
    } else {
        exn_mix_wide_fours(weights, wide, end, fours, exn_left_out(inputs), out + outputs, zero,
                           out);
    }
}

/* The last outputs, fewer than four, are found where four have room. */
EXN_INLINE void mix_wide(const exn_conv_s8 *conv, const int16_t *wide, uint32_t pixels,
                         uint32_t inputs, uint32_t first, uint32_t outputs, int8_t *out,
                         int32_t apart)
{
    uint32_t left = outputs % 4, whole = outputs - left, k;
    if (whole > 0) {
        mix_fours(conv, wide, pixels, inputs, first, whole, out, apart);
    }
    if (left > 0) {
        int8_t last[8];
        mix_fours(conv, wide, pixels, inputs, first + whole, 4, last, 4);
        for (k = 0; k < pixels; k++, whole += (uint32_t)apart) {
            exn_copy_few(out + whole, last + 4 * k, left);
        }
    }
    exn_limit(out, outputs, &conv->requantize);
    if (pixels == 2) {
        exn_limit(out + apart, outputs, &conv->requantize);
    }
}

EXN_APART static void widen_and_mix(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs,
                                    uint32_t first, uint32_t outputs, int8_t *out)
{
    EXN_WORDS int16_t wide[EXN_WIDEST];
    exn_widen(wide, x, inputs);
    mix_wide(conv, wide, 1, inputs, first, outputs, out, 0);
}

void exn_mix_widened_s8(const exn_conv_s8 *conv, const int16_t *wide, uint32_t inputs,
                        uint32_t outputs, int8_t *out, int32_t apart)
{
    mix_wide(conv, wide, 2, inputs, 0, outputs, out, apart);
}

EXN_APART static void mix_bytes(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs,
                                uint32_t first, uint32_t outputs, int8_t *out)
{
    exn_mix_byte_fours(conv->weights + exn_packed_size(first, inputs), x, x + inputs,
                       conv->requantize.fours + first / 4, exn_left_out(inputs), out + outputs,
                       exn_fine_zero(conv->requantize.zero), out);
    exn_limit(out, outputs, &conv->requantize);
}
#endif

void exn_mix_s8(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                uint32_t outputs, int8_t *out)
{
#if defined(EXN_X86)
    if (inputs <= EXN_WIDEST) {
        int16_t wide[EXN_COPIES * EXN_WIDEST];
        exn_mix_wide(conv, wide, exn_widen(wide, x, inputs), first, outputs, out);
        exn_limit(out, outputs, &conv->requantize);
        return;
    }
#elif defined(EXN_DSP)
    if (conv->requantize.fours != NULL && inputs <= EXN_WIDEST) {
        widen_and_mix(conv, x, inputs, first, outputs, out);
        return;
    }
    if (conv->requantize.fours != NULL && inputs <= EXN_RUN && (inputs | outputs) % 4 == 0) {
        mix_bytes(conv, x, inputs, first, outputs, out);
        return;
    }
#endif
    mix_any(conv, x, inputs, first, outputs, out);
}

void exn_mix_pixels_s8(const exn_conv_s8 *conv, const int8_t *x, uint32_t pixels, uint32_t inputs,
                       uint32_t outputs, int8_t *out, int32_t apart, int16_t *wide)
{
    uint32_t k;
#ifdef EXN_DSP
    if (conv->requantize.fours != NULL) {
        if (pixels == 2) {
            exn_widen_twice(wide, x, x + inputs, inputs);
            exn_mix_widened_s8(conv, wide, inputs, outputs, out, apart);
        } else {
            exn_widen(wide, x, inputs);
            mix_wide(conv, wide, 1, inputs, 0, outputs, out, apart);
        }
        return;
    }
#endif
    (void)wide;
    for (k = 0; k < pixels; k++, x += inputs, out += apart) {
        exn_mix_s8(conv, x, inputs, 0, outputs, out);
    }
}
