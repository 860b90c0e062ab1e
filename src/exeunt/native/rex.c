/* ReX, one row of its input at a time, with the sequences of a row side by side.
 *
 * A line is a row or column that some patch reads, padding included. A row's columns lie by phase:
 * those first that a patch begins with, then the ones after them, and so on up to the hop from
 * patch to patch. What the t-th step of all patches reads is then contiguous. Small images lie side
 * by side within a phase; between two of them run sequences that belong to nobody.
 */
#include "conv.h"
#include "lines.h"

#include <stdlib.h>
#include <string.h>

enum { LANES_WANTED = 96 }; /* of a row, by taking several images */

/* A recurrent cell as the kernels want it. */
typedef struct unit {
    affine into; /* what an input adds to the gates */
    cell rnn;
    size_t states; /* rows that one sequence carries: units, and their memories */
} unit;

typedef struct scratch {
    unit first, second[2];
    affine linear;
    conv_rows conv;
    const float **reads;   /* of a product */
    float *next;           /* of a step */
    float *row;            /* channel, lane */
    float *gates;          /* gate, lane: of a row, or of the summaries of columns */
    float *columns;        /* patch under way, state, lane */
    float *rows;           /* line of a patch, state, patch */
    float *rows_into;      /* line of a patch, way, gate, patch: what summaries of rows add */
    float *ends;           /* state or output, patch */
    int hop_down, hop;     /* from patch to patch, in lines */
    int under_way;         /* rows of patches that read one line */
    int images;            /* side by side */
    size_t phase;          /* from a column to the next, in lanes */
    size_t lanes, wide;    /* of a row of columns */
    size_t patches, patches_wide;
} scratch;

static int at_most(int a, int b)
{
    return a < b ? a : b;
}

/* What a gate is multiplied by; of a FastGRNN, whose two gates are one product, in the step. */
static float scale_of(int kind, size_t gate, size_t hidden)
{
    int tanh = kind == REX_RNN || (kind == REX_MINGRU && gate >= hidden) ||
               (kind != REX_FASTGRNN && gate / hidden == 2);
    return kind == REX_FASTGRNN ? 1.0f : tanh ? SCALE_TANH : SCALE_SIGMOID;
}

static void scale_gates(float *weights, size_t rows, int kind, size_t gates, size_t hidden)
{
    size_t r, g;
    for (r = 0; r < rows; r++) {
        for (g = 0; g < gates; g++) {
            weights[r * gates + g] *= scale_of(kind, g, hidden);
        }
    }
}

static void pack(unit *made, const rex_cell *given, int kind, size_t inputs, size_t hidden,
                 float *block, size_t *used)
{
    size_t count = kind == REX_GRU ? 3 : kind == REX_LSTM ? 4 : kind == REX_MINGRU ? 2 : 1;
    size_t gates = count * hidden, i;
    float *input_weights = take(block, used, inputs * gates);
    float *hidden_weights = take(block, used, hidden * gates);
    float *input_biases = take(block, used, gates);
    float *biases = take(block, used, 2 * hidden + 2);
    made->into = (affine){input_weights, input_biases, inputs, gates};
    made->rnn = (cell){hidden_weights, biases, hidden, kind};
    made->states = kind == REX_LSTM ? 2 * hidden : hidden;
    if (block == NULL) {
        return;
    }
    transpose(given->input_weights, gates, inputs, input_weights);
    scale_gates(input_weights, inputs, kind, gates, hidden);
    if (kind == REX_MINGRU) {
        for (i = 0; i < gates; i++) {
            input_biases[i] = scale_of(kind, i, hidden) * given->input_biases[i];
        }
        return;
    }
    transpose(given->hidden_weights, gates, hidden, hidden_weights);
    scale_gates(hidden_weights, hidden, kind, gates, hidden);
    if (kind == REX_FASTGRNN) { /* both in the step; what an input adds starts from zeros */
        for (i = 0; i < hidden; i++) {
            biases[i] = SCALE_SIGMOID * given->input_biases[i];
            biases[hidden + i] = SCALE_TANH * given->input_biases[hidden + i];
        }
        memcpy(biases + 2 * hidden, given->hidden_biases, 2 * sizeof *biases);
        return;
    }
    for (i = 0; i < gates; i++) { /* the reset gate scales the new state's own bias */
        int apart = kind == REX_GRU && i >= 2 * hidden;
        float scale = scale_of(kind, i, hidden);
        float recurrent = scale * given->hidden_biases[i];
        input_biases[i] = scale * given->input_biases[i] + (apart ? 0.0f : recurrent);
        if (apart) {
            biases[i - 2 * hidden] = recurrent;
        }
    }
}

/* Lays everything out in a block, or counts its floats. */
static size_t lay_out(scratch *s, const rex_layer *layer, const conv_layer *conv, int images,
                      const kernels *simd, float *block)
{
    size_t hidden1 = (size_t)layer->hidden1, hidden2 = (size_t)layer->hidden2, used = 0, most;
    size_t inputs = (size_t)(layer->down.size + layer->across.size) * hidden1;
    int pairs = layer->use_rows || layer->use_columns, way, lines;
    s->hop_down = at_most(layer->down.size, layer->down.stride);
    s->hop = at_most(layer->across.size, layer->across.stride);
    s->under_way = (layer->down.size + s->hop_down - 1) / s->hop_down;
    lines = layer->across.patches + (layer->across.size + s->hop - 1) / s->hop - 1;
    s->images = at_most(images, LANES_WANTED / (lines * s->hop) + 1);
    s->phase = (size_t)(lines * s->images);
    s->lanes = s->phase * (size_t)s->hop;
    s->patches = (size_t)(lines * (s->images - 1) + layer->across.patches);
    s->wide = rounded(s->lanes + WIDEST);
    s->patches_wide = rounded(s->patches);

    pack(&s->first, &layer->first, layer->kind, (size_t)layer->channels, hidden1, block, &used);
    for (way = 0; way < 2 && pairs; way++) {
        pack(&s->second[way], &layer->second[way], layer->kind, hidden1, hidden2, block, &used);
    }
    if (layer->use_global) {
        float *weights = take(block, &used, 4 * hidden2 * inputs);
        s->linear = (affine){weights, layer->linear_biases, inputs, 4 * hidden2};
        if (block != NULL) {
            transpose(layer->linear_weights, 4 * hidden2, inputs, weights);
        }
    }
    if (conv != NULL) {
        s->conv.phase = s->phase;
        s->conv.lines = (size_t)lines;
        s->conv.hop = s->hop;
        conv_lay_out(&s->conv, conv, &layer->across, simd, s->images, block, &used);
    }
    s->row = take(block, &used, (size_t)layer->channels * s->wide);
    most = s->first.into.outputs;
    if (pairs && s->second[0].into.outputs > most) {
        most = s->second[0].into.outputs;
    }
    s->gates = take(block, &used, most * s->wide);
    s->columns = take(block, &used, (size_t)s->under_way * s->first.states * s->wide);
    s->rows = take(block, &used, (size_t)layer->down.size * s->first.states * s->patches_wide);
    if (pairs) {
        s->rows_into = take(block, &used, (size_t)layer->down.size * 2 *
                                              s->second[0].into.outputs * s->patches_wide);
    }
    s->ends = take(block, &used, 4 * hidden2 * s->patches_wide);
    s->next = take(block, &used, 2 * WIDEST * (hidden1 > hidden2 ? hidden1 : hidden2));
    return used;
}

/* Lines of the map that a line of patches stands for, -1 in the padding. */
static int32_t map_line(const rex_axis *axis, int hop, int32_t line)
{
    int32_t place = line / hop * axis->stride + line % hop - axis->before;
    return place >= 0 && place < axis->length ? place : -1;
}

/* Gets a row of every image's every channel in its lanes. Lanes in the padding stay zero. */
static void take_row(scratch *s, const rex_layer *layer, const rex_maps *maps,
                     const kernels *simd, int32_t image, int images, int32_t row)
{
    const size_t lines = s->phase / (size_t)s->images;
    int32_t n, c;
    if (s->conv.layer != NULL) {
        conv_row(&s->conv, maps, simd, image, images, row, s->row, s->wide);
        return;
    }
    for (n = 0; n < images; n++) {
        const float *from = maps->in + (image + n) * maps->image + row * maps->row;
        for (c = 0; c < layer->channels; c++, from += maps->channel) {
            if (maps->column == 1 && row + 1 < layer->down.length) {
                fetch(from + maps->row, layer->across.length);
            }
            spread_line(simd, &layer->across, s->hop, from, maps->column,
                        s->row + (size_t)c * s->wide + (size_t)n * lines, s->phase, lines);
        }
    }
}

static void read_rows(const float **reads, const float *rows, size_t count, size_t wide)
{
    size_t i;
    for (i = 0; i < count; i++) {
        reads[i] = rows + i * wide;
    }
}

/* What `map` makes of some inputs for the steps of a cell. */
static void project(const kernels *simd, const unit *made, const affine *map,
                    const float *const *reads, float *gates, size_t wide, size_t lanes)
{
    simd->product(map, reads, gates, wide, lanes);
    if (made->rnn.kind == REX_MINGRU) {
        simd->activate(gates, wide, lanes, made->rnn.hidden);
    }
}

static float *columns_of(const scratch *s, int32_t patch)
{
    return s->columns + (size_t)(patch % s->under_way) * s->first.states * s->wide;
}

static float *row_of(const scratch *s, const rex_layer *layer, int32_t line)
{
    return s->rows + (size_t)(line % layer->down.size) * s->first.states * s->patches_wide;
}

static float *row_into(const scratch *s, const rex_layer *layer, int32_t line, int way)
{
    size_t gates = s->second[0].into.outputs;
    return s->rows_into + (size_t)(line % layer->down.size * 2 + way) * gates * s->patches_wide;
}

/* Lane of the t-th column of every patch. */
static size_t shift(const scratch *s, int t)
{
    return (size_t)(t % s->hop) * s->phase + (size_t)(t / s->hop);
}

/* Runs the first cell along the row whose gates are known, from every patch's begin. */
static void sweep_row(scratch *s, const rex_layer *layer, const kernels *simd, int32_t line)
{
    float *state = row_of(s, layer, line);
    int t, way;
    for (t = 0; t < layer->across.size; t++) {
        simd->step(&s->first.rnn, s->gates + shift(s, t), s->wide, state, s->patches_wide, s->next,
                   s->patches, t == 0);
    }
    read_rows(s->reads, state, s->first.rnn.hidden, s->patches_wide);
    for (way = 0; way < 2 && layer->use_rows; way++) {
        project(simd, &s->second[way], &s->second[way].into, s->reads,
                row_into(s, layer, line, way), s->patches_wide, s->patches);
    }
}

/* Takes in a line: every row's sweep, and a step of all columns of the patches under way. */
static void take_line(scratch *s, const rex_layer *layer, const rex_maps *maps,
                      const kernels *simd, int32_t image, int images, int32_t line)
{
    const affine *into = &s->first.into;
    int32_t row = map_line(&layer->down, s->hop_down, line), patch;
    if (row >= 0) {
        take_row(s, layer, maps, simd, image, images, row);
        read_rows(s->reads, s->row, into->inputs, s->wide);
        project(simd, &s->first, into, s->reads, s->gates, s->wide, s->lanes);
    } else { /* beside the map an input adds nothing */
        const affine nothing = {into->weights, into->biases, 0, into->outputs};
        project(simd, &s->first, &nothing, s->reads, s->gates, s->wide, s->lanes);
    }
    if (layer->use_rows || layer->use_global) {
        sweep_row(s, layer, simd, line);
    }
    patch = line < layer->down.size ? 0 : (line - layer->down.size) / s->hop_down + 1;
    for (; patch < maps->last && patch * s->hop_down <= line; patch++) {
        if (patch >= maps->first && (layer->use_columns || layer->use_global)) {
            simd->step(&s->first.rnn, s->gates, s->wide, columns_of(s, patch), s->wide, s->next,
                       s->lanes, line == patch * s->hop_down);
        }
    }
}

/* Writes channels of a row of patches, and of its copies beside and below. */
static void put(const scratch *s, const rex_layer *layer, const rex_maps *maps, int32_t image,
                int images, int32_t patch, size_t channel, size_t channels)
{
    const rex_axis *down = &layer->down, *across = &layer->across;
    size_t made = (size_t)layer->hidden2 *
                  (size_t)(2 * layer->use_rows + 4 * layer->use_global + 2 * layer->use_columns);
    size_t width = (size_t)(across->patches + across->repeat);
    size_t height = (size_t)(down->patches + down->repeat), c;
    int32_t bottom = patch + 1 < down->patches ? patch : patch + down->repeat, n, i, j;
    for (n = 0; n < images; n++) {
        for (c = 0; c < channels; c++) {
            const float *from =
                s->ends + c * s->patches_wide + (size_t)n * (s->phase / (size_t)s->images);
            size_t plane = ((size_t)(image + n) * made + channel + c) * height;
            for (i = patch; i <= bottom; i++) {
                float *to = maps->out + (plane + (size_t)i) * width;
                memcpy(to, from, (size_t)across->patches * sizeof *to);
                for (j = 0; j < across->repeat; j++) {
                    to[across->patches + j] = from[across->patches - 1];
                }
            }
        }
    }
}

/* The second cell over summaries that lie side by side, and whose gates are known. */
static void both_ways(scratch *s, const rex_layer *layer, const kernels *simd, int32_t patch,
                      int by_rows, int way)
{
    int count = by_rows ? layer->down.size : layer->across.size, step;
    for (step = 0; step < count; step++) {
        int t = way ? count - 1 - step : step;
        const float *gates = by_rows ? row_into(s, layer, patch * s->hop_down + t, way)
                                     : s->gates + shift(s, t);
        simd->step(&s->second[way].rnn, gates, by_rows ? s->patches_wide : s->wide, s->ends,
                   s->patches_wide, s->next, s->patches, step == 0);
    }
}

/* Puts out a row of patches whose lines have all been taken in. */
static void make_row(scratch *s, const rex_layer *layer, const rex_maps *maps,
                     const kernels *simd, int32_t image, int images, int32_t patch)
{
    const float *columns = columns_of(s, patch);
    size_t hidden1 = (size_t)layer->hidden1, hidden2 = (size_t)layer->hidden2, channel = 0;
    int way, t;
    for (way = 0; way < 2 && layer->use_rows; way++, channel += hidden2) {
        both_ways(s, layer, simd, patch, 1, way);
        put(s, layer, maps, image, images, patch, channel, hidden2);
    }
    if (layer->use_global) {
        const float **reads = s->reads;
        for (t = 0; t < layer->down.size; t++, reads += hidden1) {
            const float *row = row_of(s, layer, patch * s->hop_down + t);
            read_rows(reads, row, hidden1, s->patches_wide);
        }
        for (t = 0; t < layer->across.size; t++, reads += hidden1) {
            read_rows(reads, columns + shift(s, t), hidden1, s->wide);
        }
        simd->product(&s->linear, s->reads, s->ends, s->patches_wide, s->patches);
        put(s, layer, maps, image, images, patch, channel, 4 * hidden2);
        channel += 4 * hidden2;
    }
    for (way = 0; way < 2 && layer->use_columns; way++, channel += hidden2) {
        read_rows(s->reads, columns, hidden1, s->wide);
        project(simd, &s->second[way], &s->second[way].into, s->reads, s->gates, s->wide,
                s->lanes);
        both_ways(s, layer, simd, patch, 0, way);
        put(s, layer, maps, image, images, patch, channel, hidden2);
    }
}

int exeunt_rex(const rex_layer *layer, const conv_layer *conv, const rex_maps *maps, int simd)
{
    const kernels *loops = kernels_of(simd);
    scratch s;
    size_t reads = (size_t)(layer->down.size + layer->across.size) * (size_t)layer->hidden1;
    float *block;
    int32_t image;
    if (loops == NULL) {
        return 2;
    }
    memset(&s, 0, sizeof s);
    block = calloc(lay_out(&s, layer, conv, maps->images, loops, NULL) + WIDEST, sizeof *block);
    reads = reads > (size_t)layer->channels ? reads : (size_t)layer->channels;
    s.reads = calloc(reads + (conv == NULL ? 0 : conv_taps(conv)), sizeof *s.reads);
    if (block == NULL || s.reads == NULL) {
        free(block);
        free(s.reads);
        return 1;
    }
    s.conv.taps = s.reads + reads;
    lay_out(&s, layer, conv, maps->images, loops, aligned(block));
    for (image = 0; image < maps->images; image += s.images) {
        int images = at_most(s.images, maps->images - image);
        int32_t line = maps->first * s.hop_down, patch;
        s.conv.line = 0;
        for (patch = maps->first; patch < maps->last; patch++) {
            for (; line < patch * s.hop_down + layer->down.size; line++) {
                take_line(&s, layer, maps, loops, image, images, line);
            }
            make_row(&s, layer, maps, loops, image, images, patch);
        }
    }
    free(block);
    free(s.reads);
    return 0;
}
