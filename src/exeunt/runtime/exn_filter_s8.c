#include "exn_filter_s8.h"
#ifdef EXN_DSP
#include "exn_dsp_filter.h"
#endif

#include <string.h>

/* The last channels, fewer than four. */
static void filter_rest(int32_t sums[4], const int16_t *w, const int8_t *const *taps,
                        uint32_t count, uint32_t first, uint32_t left)
{
    uint32_t t, k;
    for (t = 0; t < count; t++) {
        const int16_t *of = w + t / 2 * 8;
        uint32_t step = count - t / 2 * 2 == 1 ? 1 : 2;
        for (k = 0; k < left; k++) {
            sums[k] += of[step * k + t % 2] * taps[t][first + k];
        }
    }
}

void exn_filter_s8(const exn_depthwise_s8 *depthwise, const int8_t *const *taps, uint32_t first,
                   uint32_t n, int8_t *out, int8_t *old)
{
    const exn_requantize *to = &depthwise->requantize;
    uint32_t count = (uint32_t)depthwise->window.height * depthwise->window.width;
    const int16_t *w = depthwise->weights + first * count;
    uint32_t i = 0, k;
#ifdef EXN_DSP
    if (count == 9 && n >= 4 && to->fours != NULL) {
        i = n & ~(uint32_t)3;
        exn_filter_nine(w, taps, to->fours + first / 4, out, old, exn_fine_zero(to->zero), i);
        w += i * count;
    }
#endif
    for (; i + EXN_LANES <= n; i += EXN_LANES) {
        int32_t sums[EXN_LANES] = {0};
        w = exn_filter_lanes(sums, w, taps, count, i);
        if (old != NULL) {
            memcpy(old + i, out + i, EXN_LANES);
        }
#ifdef EXN_X86
        exn_store_rows(out + i, to, first + i, sums, EXN_LANES);
#else
        for (k = 0; k < EXN_LANES; k += 4) {
            exn_store(out + i + k, to, first + i + k, sums + k, 4);
        }
#endif
    }
#if defined(EXN_X86) || defined(EXN_VECTOR)
    for (; i + 4 <= n; i += 4) {
        int32_t sums[4] = {0};
        w = exn_filter_4(sums, w, taps, count, i);
        if (old != NULL) {
            memcpy(old + i, out + i, 4);
        }
        exn_store(out + i, to, first + i, sums, 4);
    }
#endif
    if (i < n) {
        int32_t sums[4] = {0};
#ifdef EXN_DSP
        if (n >= 4) {
            exn_filter_rest(sums, w, taps, count, n - 4, n - i);
        } else
#endif
            filter_rest(sums, w, taps, count, i, n - i);
        for (k = i; k < n && old != NULL; k++) {
            old[k] = out[k];
        }
        exn_store(out + i, to, first + i, sums, n - i);
    }
    exn_limit(out, n, to);
}
