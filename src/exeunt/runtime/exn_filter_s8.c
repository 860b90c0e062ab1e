#include "exn_filter_s8.h"

#include <string.h>

/* Those of channel `i` for the first tap. */
static const int8_t *weights_of(const int8_t *weights, uint32_t count, uint32_t i)
{
    return weights + i / EXN_BLOCK * EXN_BLOCK * count + i % EXN_BLOCK;
}

void exn_filter_s8(const exn_depthwise_s8 *depthwise, const int8_t *const *taps, uint32_t first,
                   uint32_t n, int8_t *out, int8_t *old)
{
    const exn_requantize *to = &depthwise->requantize;
    uint32_t count = (uint32_t)depthwise->window.height * depthwise->window.width;
    const int8_t *weights = depthwise->weights + first * count;
    const exn_row *row = to->rows + first;
    int32_t zero = to->zero;
    uint32_t i, k, t;
    for (i = 0; i + EXN_LANES <= n; i += EXN_LANES) {
        int32_t sums[EXN_LANES] = {0};
        exn_filter_lanes(sums, weights_of(weights, count, i), taps, count, i);
        if (old != NULL) {
            memcpy(old + i, out + i, EXN_LANES);
        }
#ifdef EXN_X86
        exn_store_rows(out + i, &row, sums, zero, EXN_LANES);
#else
        for (k = 0; k < EXN_LANES; k += 4) {
            exn_store_4(out + i + k, &row, sums + k, zero);
        }
#endif
    }
    if (i < n) {
        const int8_t *w = weights_of(weights, count, i);
        int32_t sums[EXN_LANES] = {0};
        uint32_t left = n - i;
        for (t = 0; t < count; t++, w += EXN_BLOCK) {
            for (k = 0; k < left; k++) {
                sums[k] += w[k] * taps[t][i + k];
            }
        }
        if (old != NULL) {
            memcpy(old + i, out + i, left);
        }
        for (k = 0; k < left; k++) {
            out[i + k] = (int8_t)exn_int8(exn_scale_next(&row, sums[k], zero));
        }
    }
    exn_limit(out, n, to);
}
