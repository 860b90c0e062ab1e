/* Runs the ReX kernel, or a convolution and ReX, on what a file holds: `harness IN OUT SIMD`.
 *
 * Every array has memory of its own size, so that sanitizers see a step beside it.
 */
#include "rex.h"

#include <stdio.h>
#include <stdlib.h>

static FILE *in;

static void get(void *to, size_t size, size_t count)
{
    if (fread(to, size, count, in) != count) {
        exit(3);
    }
}

static float *array(void)
{
    int32_t count;
    float *numbers;
    get(&count, sizeof count, 1);
    numbers = malloc((size_t)count * sizeof *numbers);
    get(numbers, sizeof *numbers, (size_t)count);
    return numbers;
}

static rex_cell cell(void)
{
    rex_cell read;
    read.input_weights = array();
    read.hidden_weights = array();
    read.input_biases = array();
    read.hidden_biases = array();
    return read;
}

static void drop(const rex_cell *used)
{
    free((void *)(uintptr_t)used->input_weights);
    free((void *)(uintptr_t)used->hidden_weights);
    free((void *)(uintptr_t)used->input_biases);
    free((void *)(uintptr_t)used->hidden_biases);
}

int main(int count, char **names)
{
    rex_layer layer;
    conv_layer conv;
    rex_maps maps;
    const rex_axis *down = &layer.down, *across = &layer.across; /* of what is given */
    int32_t numbers[5], channels, convolves;
    size_t made;
    FILE *out;
    int failed;
    if (count != 4 || (in = fopen(names[1], "rb")) == NULL) {
        return 3;
    }
    get(&layer.down, sizeof layer.down, 1);
    get(&layer.across, sizeof layer.across, 1);
    get(numbers, sizeof *numbers, 5);
    layer.kind = numbers[0];
    layer.channels = numbers[1];
    layer.hidden1 = numbers[2];
    layer.hidden2 = numbers[3];
    layer.use_rows = layer.use_global = layer.use_columns = 1;
    maps.images = numbers[4];
    layer.first = cell();
    layer.second[0] = cell();
    layer.second[1] = cell();
    layer.linear_weights = array();
    layer.linear_biases = array();
    channels = layer.channels;
    get(&convolves, sizeof convolves, 1);
    if (convolves) {
        get(&conv.down, sizeof conv.down, 1);
        get(&conv.across, sizeof conv.across, 1);
        get(&conv.channels, sizeof conv.channels, 1);
        conv.outputs = channels;
        conv.low = 0;
        conv.high = 6;
        conv.weights = array();
        conv.biases = array();
        down = &conv.down;
        across = &conv.across;
        channels = conv.channels;
    }
    maps.in = array();
    maps.column = 1;
    maps.row = across->length;
    maps.channel = maps.row * down->length;
    maps.image = maps.channel * channels;
    maps.first = 0;
    maps.last = layer.down.patches;
    made = (size_t)(maps.images * layer.hidden2 * 8);
    made *= (size_t)((layer.down.patches + layer.down.repeat) *
                     (layer.across.patches + layer.across.repeat));
    maps.out = malloc(made * sizeof *maps.out);
    failed = exeunt_rex(&layer, convolves ? &conv : NULL, &maps, atoi(names[3]));
    out = fopen(names[2], "wb");
    if (failed || out == NULL || fwrite(maps.out, sizeof *maps.out, made, out) != made) {
        return 4;
    }
    fclose(out);
    fclose(in);
    drop(&layer.first);
    drop(&layer.second[0]);
    drop(&layer.second[1]);
    free((void *)(uintptr_t)layer.linear_weights);
    free((void *)(uintptr_t)layer.linear_biases);
    if (convolves) {
        free((void *)(uintptr_t)conv.weights);
        free((void *)(uintptr_t)conv.biases);
    }
    free((void *)(uintptr_t)maps.in);
    free(maps.out);
    return 0;
}
