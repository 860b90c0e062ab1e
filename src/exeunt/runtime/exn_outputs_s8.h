/* From sums to outputs of 8 bits. */
#ifndef EXN_OUTPUTS_S8_H
#define EXN_OUTPUTS_S8_H

/* The output of a channel, whose sum this is. */
EXN_INLINE int8_t exn_output(const exn_requantize *to, uint32_t channel, int32_t sum)
{
    if (to->fours == NULL) {
        const exn_row *row = to->rows + channel;
        return (int8_t)exn_int8(exn_scale_next(&row, sum, to->zero));
    } else {
        const exn_four *four = to->fours + channel / 4;
        int32_t high = exn_high(four->biases[channel % 4] + sum, four->multipliers[channel % 4]);
        return (int8_t)exn_int8(exn_halve(high, EXN_FINE, to->zero));
    }
}

/* Leaves out so many channels, filled up to a multiple of 4. */
EXN_INLINE void exn_go_on(exn_requantize *to, uint32_t channels)
{
    uint32_t fours = (channels + 3) / 4;
    to->fours = to->fours == NULL ? NULL : to->fours + fours;
    to->rows = to->rows == NULL ? NULL : to->rows + 4 * fours;
}

/* Up to four outputs from `channel` on, a multiple of 4. */
EXN_INLINE void exn_store(int8_t *out, const exn_requantize *to, uint32_t channel,
                          const int32_t sums[4], uint32_t count)
{
    uint32_t k;
    if (to->fours != NULL) {
        const exn_four *four = to->fours + channel / 4;
        int32_t zero = to->zero;
        for (k = 0; k < count; k++) {
            int32_t high = exn_high(four->biases[k] + sums[k], four->multipliers[k]);
            out[k] = (int8_t)exn_int8(exn_halve(high, EXN_FINE, zero));
        }
        return;
    }
    for (k = 0; k < count; k++) {
        out[k] = exn_output(to, channel + k, sums[k]);
    }
}

#ifdef EXN_X86
/* Up to EXN_ROWS outputs from `channel` on. */
EXN_INLINE void exn_store_rows(int8_t *out, const exn_requantize *to, uint32_t channel,
                               const int32_t sums[EXN_ROWS], uint32_t count)
{
    uint32_t k = 0;
#ifdef __AVX2__
    if (to->fours != NULL) {
        exn_store_fours(out, to->fours + channel / 4, sums, to->zero, count);
        return;
    }
#endif
    for (; k < count; k++) {
        out[k] = exn_output(to, channel + k, sums[k]);
    }
}

/* Outputs from `first` on, EXN_ROWS at a time, of `inputs` numbers that are widened. */
EXN_INLINE void exn_mix_wide(const exn_conv_s8 *conv, const int16_t *x, uint32_t inputs,
                             uint32_t first, uint32_t outputs, int8_t *out)
{
    const int16_t *weights = conv->weights + exn_packed_size(first, inputs);
    while (outputs > 0) {
        int32_t sums[EXN_ROWS] = {0};
        uint32_t count = outputs < EXN_ROWS ? outputs : EXN_ROWS;
        weights = exn_dot_wide(sums, weights, x, inputs, count);
        exn_store_rows(out, &conv->requantize, first, sums, count);
        first += count;
        out += count;
        outputs -= count;
    }
}
#endif

#endif
