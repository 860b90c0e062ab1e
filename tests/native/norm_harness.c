/* Goes both ways through batch norms with every instruction set there is, in arrays that end where
 * their numbers end, and compares with sums in doubles: `norm_harness`. Says how many were wrong.
 */
#include "norm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t state = 1;

static float drawn(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static float *array(size_t count, float scale, float middle)
{
    float *made = malloc(count * sizeof *made);
    size_t i;
    for (i = 0; i < count; i++) {
        made[i] = middle + scale * drawn();
    }
    return made;
}

static int differs(double is, double should)
{
    return !(fabs(is - should) <= 2e-5 * (1.0 + fabs(should)));
}

/* Runs it in so many shares. */
static int run(norm *layer, int32_t shares)
{
    layer->shares = shares;
    layer->next = layer->failed = 0;
    layer->sums = malloc(2 * (size_t)(shares * layer->channels) * sizeof *layer->sums);
    exeunt_norm_sum(layer);
    exeunt_norm_close(layer);
    exeunt_norm_write(layer);
    free(layer->sums);
    return layer->failed;
}

static int passes(const norm *layer, double y)
{
    return y > (double)layer->low && y < (double)layer->high;
}

/* One channel of what has been computed, there (0) or back (1). */
static int wrong(const norm *layer, size_t c, int back)
{
    size_t channels = (size_t)layer->channels, pixels = (size_t)layer->pixels, p;
    double mean = 0, variance = 0, rate, g1 = 0, g2 = 0;
    int count = 0;
    for (p = 0; p < pixels; p++) {
        mean += layer->in[p * channels + c] / (double)pixels;
    }
    for (p = 0; p < pixels; p++) {
        variance += pow(layer->in[p * channels + c] - mean, 2) / (double)pixels;
    }
    rate = 1 / sqrt(variance + layer->epsilon);
    for (p = 0; p < pixels && back; p++) {
        double x = (layer->in[p * channels + c] - mean) * rate;
        if (passes(layer, layer->weights[c] * x + layer->biases[c])) {
            g1 += layer->gradients[p * (size_t)layer->apart + c];
            g2 += layer->gradients[p * (size_t)layer->apart + c] * x;
        }
    }
    count += differs(layer->means[c], mean) + differs(layer->variances[c], variance);
    for (p = 0; p < pixels; p++) {
        double x = (layer->in[p * channels + c] - mean) * rate;
        double y = layer->weights[c] * x + layer->biases[c];
        if (!back) {
            y = y < (double)layer->low ? layer->low : y > (double)layer->high ? layer->high : y;
        } else {
            double g = passes(layer, y) ? layer->gradients[p * (size_t)layer->apart + c] : 0;
            y = layer->weights[c] * rate * (g - (g1 + x * g2) / (double)pixels);
        }
        count += differs(layer->out[p * channels + c], y);
    }
    if (back) {
        count += differs(layer->bias_gradients[c], g1) + differs(layer->weight_gradients[c], g2);
    }
    return count;
}

static int compared(int64_t pixels, int32_t channels, int32_t apart, float high, int simd)
{
    size_t wide = (size_t)channels, numbers = (size_t)pixels * wide, k, c;
    float *held[13];
    norm layer = {0};
    int count = 0;
    for (k = 0; k < 13; k++) {
        size_t most = k == 2 ? (size_t)(pixels * apart) : k < 2 ? numbers : wide;
        held[k] = array(most, 1.0f, k == 0 ? 3.0f : 0.0f);
    }
    layer.in = held[0];
    layer.out = held[1];
    layer.weights = held[3];
    layer.biases = held[4];
    layer.means = held[5];
    layer.variances = held[6];
    layer.slopes = held[7];
    layer.offsets = held[8];
    layer.weight_gradients = held[9];
    layer.bias_gradients = held[10];
    layer.more = held[11];
    layer.rest = held[12];
    layer.pixels = pixels;
    layer.channels = channels;
    layer.apart = apart;
    layer.simd = simd;
    layer.epsilon = 0.1f;
    layer.low = high == INFINITY ? -INFINITY : 0.0f;
    layer.high = high;
    count += run(&layer, 3);
    for (c = 0; c < wide; c++) {
        count += wrong(&layer, c, 0);
    }
    for (k = 0; k < numbers; k++) { /* what lies on a limit may pass or not: nobody asks */
        size_t of = k % wide;
        float y = layer.slopes[of] * held[0][k] + layer.offsets[of];
        if (fabsf(y - layer.low) < 1e-5f || fabsf(y - layer.high) < 1e-5f) {
            held[2][k / wide * (size_t)apart + of] = 0.0f;
        }
    }
    layer.gradients = held[2];
    count += run(&layer, 3);
    for (c = 0; c < wide; c++) {
        count += wrong(&layer, c, 1);
    }
    for (k = 0; k < 13; k++) {
        free(held[k]);
    }
    return count;
}

int main(void)
{
    static const int32_t CHANNELS[] = {1, 3, 6, 16, 24, 70, 322};
    static const int64_t PIXELS[] = {2, 7, 64, 1000};
    int simd, count = 0, there = 0;
    size_t c, p;
    for (simd = 0; simd < SIMD_COUNT; simd++) {
        if (!exeunt_has(simd)) {
            continue;
        }
        there++;
        for (c = 0; c < sizeof CHANNELS / sizeof *CHANNELS; c++) {
            for (p = 0; p < sizeof PIXELS / sizeof *PIXELS; p++) {
                count += compared(PIXELS[p], CHANNELS[c], CHANNELS[c], 0.75f, simd);
                count += compared(PIXELS[p], CHANNELS[c], CHANNELS[c] + 5, INFINITY, simd);
            }
        }
    }
    printf("%d of %d instruction sets: %d wrong\n", there, SIMD_COUNT, count);
    return count != 0;
}
