/* 1x1 convolutions of one pixel, or of two at once. */
#include "exn_s8.h"

#ifdef EXN_DSP
#include "exn_dsp_mix.h"
#endif

#include <string.h>

/* Four outputs at a time, of any pixel. */
static void mix_any(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                    uint32_t outputs, int8_t *out)
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
        first += count;
        out += count;
        outputs -= count;
    }
}

#ifdef EXN_DSP
/* What the kernels are told besides outputs. */
typedef struct mixture {
    const int16_t *weights;
    const exn_four *fours;
    uint32_t left_out;
    int32_t zero;
} mixture;

EXN_INLINE mixture mixture_of(const exn_conv_s8 *conv, uint32_t inputs, uint32_t first)
{
    mixture found;
    found.weights = conv->weights + exn_packed_size(first, inputs);
    found.fours = conv->requantize.fours + first / 4;
    found.left_out = exn_left_out(inputs);
    found.zero = exn_fine_zero(conv->requantize.zero);
    return found;
}

/* The last outputs, fewer than four, go where four have room. */
EXN_APART static void mix_wide(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs,
                               uint32_t first, uint32_t outputs, int8_t *out)
{
    mixture of = mixture_of(conv, inputs, first);
    EXN_WORDS int16_t wide[EXN_WIDEST];
    uint32_t left = outputs % 4, whole = outputs - left;
    const int16_t *end = wide + exn_whole_fours(inputs);
    exn_widen(wide, x, inputs);
    if (whole > 0) {
        exn_mix_wide_fours(of.weights, wide, end, of.fours, of.left_out, out + whole, of.zero, out);
    }
    if (left > 0) {
        int8_t last[4];
        of = mixture_of(conv, inputs, first + whole);
        exn_mix_wide_fours(of.weights, wide, end, of.fours, of.left_out, last + 4, of.zero, last);
        exn_copy_few(out + whole, last, left);
    }
}

EXN_APART static void mix_bytes(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs,
                                uint32_t first, uint32_t outputs, int8_t *out)
{
    mixture of = mixture_of(conv, inputs, first);
    exn_mix_byte_fours(of.weights, x, x + inputs, of.fours, of.left_out, out + outputs, of.zero, out);
}

EXN_APART static void mix_twice(const exn_conv_s8 *conv, const int8_t *x, const int8_t *y,
                                uint32_t inputs, uint32_t outputs, int8_t *out, int8_t *other)
{
    mixture of = mixture_of(conv, inputs, 0);
    EXN_WORDS int16_t wide[EXN_WIDEST];
    exn_widen_twice(wide, x, y, inputs);
    exn_mix_twice(of.weights, wide, wide + 2 * exn_whole_fours(inputs), of.fours, of.left_out,
                  out + outputs, of.zero, out, other - out);
}
#endif

void exn_mix_s8(const exn_conv_s8 *conv, const int8_t *x, uint32_t inputs, uint32_t first,
                uint32_t outputs, int8_t *out)
{
#if defined(EXN_X86)
    if (inputs <= EXN_WIDEST) {
        int16_t wide[EXN_COPIES * EXN_WIDEST];
        exn_mix_wide(conv, wide, exn_widen(wide, x, inputs), first, outputs, out);
    } else
#elif defined(EXN_DSP)
    if (conv->requantize.fours != NULL && inputs <= EXN_WIDEST) {
        mix_wide(conv, x, inputs, first, outputs, out);
    } else if (conv->requantize.fours != NULL && inputs <= EXN_RUN && inputs % 4 == 0 &&
               outputs % 4 == 0) {
        mix_bytes(conv, x, inputs, first, outputs, out);
    } else
#endif
    {
        mix_any(conv, x, inputs, first, outputs, out);
    }
    exn_limit(out, outputs, &conv->requantize);
}

void exn_mix_two_s8(const exn_conv_s8 *conv, const int8_t *x, const int8_t *y, uint32_t inputs,
                    uint32_t outputs, int8_t *out, int8_t *other)
{
#ifdef EXN_DSP
    if (conv->requantize.fours != NULL && inputs <= EXN_WIDEST / 2 && outputs % 4 == 0) {
        mix_twice(conv, x, y, inputs, outputs, out, other);
        exn_limit(out, outputs, &conv->requantize);
        exn_limit(other, outputs, &conv->requantize);
        return;
    }
#endif
    exn_mix_s8(conv, x, inputs, 0, outputs, out);
    exn_mix_s8(conv, y, inputs, 0, outputs, other);
}
