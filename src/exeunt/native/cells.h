/* One step of a recurrent cell over sequences side by side; see `lanes.h` for how it is included.
 *
 * Gates and states lie with sequences side by side: gate or unit, sequence. A division gives two
 * gates where they are only ever multiplied.
 */

/* Some units of a step in one or two vectors; what is said after `begins` is constant. A unit's new
 * state goes to `next`, since the other units still read the old one.
 */
INLINE void NAME(step_tile)(const cell *rnn, const float *gates, size_t gates_wide, float *state,
                            size_t wide, float *next, size_t unit, int begins, int kind, int units,
                            int vectors)
{
    const int count = kind == REX_GRU ? 3 : kind == REX_LSTM ? 4 : 1;
    const size_t hidden = rnn->hidden;
    const float *weights = rnn->weights + unit, *biases = rnn->biases + unit;
    const int tile = units * vectors; /* sums of a gate */
    vec sums[SUMS];
    size_t i;
    int g, u, v, k;
#define EACH UNROLL for (k = 0; k < tile; k++)
#define PLACE(wide) ((unit + (size_t)(k / vectors)) * (wide) + (size_t)(k % vectors) * LANES)
    UNROLL for (g = 0; g < count; g++) {
        UNROLL for (u = 0; u < units; u++) {
            UNROLL for (v = 0; v < vectors; v++) {
                const float *gate = gates + ((size_t)g * hidden + unit + (size_t)u) * gates_wide;
                sums[(g * units + u) * vectors + v] = kind == REX_GRU && g == 2
                                                          ? NAME(all)(biases[u])
                                                          : NAME(read)(gate + v * LANES);
            }
        }
    }
    for (i = 0; i < hidden && !begins; i++, weights += (size_t)count * hidden) {
        vec x[2];
        UNROLL for (v = 0; v < vectors; v++) {
            x[v] = NAME(read)(state + i * wide + v * LANES);
        }
        UNROLL for (g = 0; g < count; g++) {
            UNROLL for (u = 0; u < units; u++) {
                float weight = weights[(size_t)g * hidden + (size_t)u];
                UNROLL for (v = 0; v < vectors; v++) {
                    sums[(g * units + u) * vectors + v] += weight * x[v];
                }
            }
        }
    }
    if (kind == REX_GRU) {
        const float *fresh = gates + 2 * hidden * gates_wide;
        NAME(powers)(sums, tile);
        EACH {
            vec reset = NAME(over)(NAME(all)(1.0f), 1.0f + sums[k]);
            sums[2 * tile + k] = NAME(read)(fresh + PLACE(gates_wide)) + reset * sums[2 * tile + k];
        }
        NAME(powers)(sums + tile, tile);
        NAME(powers)(sums + 2 * tile, tile);
        EACH {
            vec old = begins ? NAME(all)(0.0f) : NAME(read)(state + PLACE(wide));
            vec z = sums[tile + k], n = sums[2 * tile + k], more = 1.0f + n;
            sums[k] = NAME(over)(z - n * z + more * old, more * z + more);
        }
    } else if (kind == REX_LSTM) {
        float *memories = state + hidden * wide;
        UNROLL for (g = 0; g < 4; g++) {
            NAME(powers)(sums + g * tile, tile);
        }
        EACH {
            vec memory = begins ? NAME(all)(0.0f) : NAME(read)(memories + PLACE(wide));
            vec n = sums[2 * tile + k];
            memory = NAME(over)(memory, 1.0f + sums[tile + k]) +
                     NAME(over)(1.0f - n, (1.0f + sums[k]) * (1.0f + n));
            NAME(write)(memories + PLACE(wide), memory);
            sums[k] = SCALE_TANH * memory;
        }
        NAME(powers)(sums, tile);
        EACH sums[k] = NAME(over)(1.0f - sums[k], (1.0f + sums[3 * tile + k]) * (1.0f + sums[k]));
    } else if (kind == REX_RNN) {
        NAME(powers)(sums, tile);
        EACH sums[k] = NAME(over)(1.0f - sums[k], 1.0f + sums[k]);
    } else {
        const float *shares = rnn->biases + 2 * hidden;
        EACH {
            sums[tile + k] = SCALE_TANH * sums[k] + biases[hidden + (size_t)(k / vectors)];
            sums[k] = SCALE_SIGMOID * sums[k] + biases[k / vectors];
        }
        NAME(powers)(sums, tile);
        NAME(powers)(sums + tile, tile);
        EACH {
            vec old = begins ? NAME(all)(0.0f) : NAME(read)(state + PLACE(wide));
            vec z = sums[k], n = sums[tile + k];
            vec share = NAME(over)(shares[0] * z, 1.0f + z) + shares[1];
            sums[k] = NAME(over)(old, 1.0f + z) + share * NAME(over)(1.0f - n, 1.0f + n);
        }
    }
    EACH NAME(write)(next + PLACE(2 * LANES), sums[k]);
#undef PLACE
#undef EACH
}

INLINE void NAME(step_lanes)(const cell *rnn, const float *gates, size_t gates_wide, float *state,
                             size_t wide, float *next, int begins, int kind, int vectors)
{
    const int gates_of_unit = kind == REX_GRU ? 3 : kind == REX_LSTM ? 4 : 2;
    const int units = SUMS / gates_of_unit / vectors;
    size_t unit = 0, i;
    int v;
    for (; unit + (size_t)units <= rnn->hidden; unit += (size_t)units) {
        NAME(step_tile)(rnn, gates, gates_wide, state, wide, next, unit, begins, kind, units,
                        vectors);
    }
    for (; unit < rnn->hidden; unit++) {
        NAME(step_tile)(rnn, gates, gates_wide, state, wide, next, unit, begins, kind, 1, vectors);
    }
    for (i = 0; i < rnn->hidden; i++) {
        UNROLL for (v = 0; v < vectors; v++) {
            vec after = NAME(read)(next + (i * 2 + (size_t)v) * LANES);
            NAME(write)(state + i * wide + v * LANES, after);
        }
    }
}

INLINE void NAME(step_kind)(const cell *rnn, const float *gates, size_t gates_wide, float *state,
                            size_t wide, float *next, size_t lanes, int begins, int kind)
{
    size_t lane;
    for (lane = 0; lane < lanes; lane += 2 * LANES, gates += 2 * LANES, state += 2 * LANES) {
        if (lane + LANES < lanes) {
            NAME(step_lanes)(rnn, gates, gates_wide, state, wide, next, begins, kind, 2);
        } else {
            NAME(step_lanes)(rnn, gates, gates_wide, state, wide, next, begins, kind, 1);
        }
    }
}

/* Of a minGRU, whose gates are activated already. */
static TARGET void NAME(step_mingru)(const cell *rnn, const float *gates, size_t gates_wide,
                                     float *state, size_t wide, size_t lanes, int begins)
{
    const float *fresh = gates + rnn->hidden * gates_wide;
    size_t unit, lane;
    for (unit = 0; unit < rnn->hidden; unit++) {
        for (lane = 0; lane < lanes; lane += LANES) {
            vec z = NAME(read)(gates + lane), n = NAME(read)(fresh + lane);
            vec old = begins ? NAME(all)(0.0f) : NAME(read)(state + lane);
            NAME(write)(state + lane, begins ? z * n : old + z * (n - old));
        }
        gates += gates_wide;
        fresh += gates_wide;
        state += wide;
    }
}

/* `lanes` sequences take a step each, from zeros if it `begins`; of an LSTM the units' memories lie
 * after their states. Lanes up to a whole vector are read and written.
 */
static TARGET void NAME(step)(const cell *rnn, const float *gates, size_t gates_wide, float *state,
                              size_t wide, float *next, size_t lanes, int begins)
{
    switch (rnn->kind) {
    case REX_GRU:
        NAME(step_kind)(rnn, gates, gates_wide, state, wide, next, lanes, begins, REX_GRU);
        break;
    case REX_LSTM:
        NAME(step_kind)(rnn, gates, gates_wide, state, wide, next, lanes, begins, REX_LSTM);
        break;
    case REX_MINGRU:
        NAME(step_mingru)(rnn, gates, gates_wide, state, wide, lanes, begins);
        break;
    case REX_RNN:
        NAME(step_kind)(rnn, gates, gates_wide, state, wide, next, lanes, begins, REX_RNN);
        break;
    default:
        NAME(step_kind)(rnn, gates, gates_wide, state, wide, next, lanes, begins, REX_FASTGRNN);
    }
}

/* Update gates and candidates of a minGRU, `hidden` rows of each, from their scaled sums. Lanes up to
 * a whole vector are read and written.
 */
static TARGET void NAME(activate)(float *gates, size_t wide, size_t lanes, size_t hidden)
{
    size_t row, lane;
    for (row = 0; row < 2 * hidden; row++, gates += wide) {
        for (lane = 0; lane < lanes; lane += LANES) {
            vec x = NAME(read)(gates + lane);
            NAME(powers)(&x, 1);
            x = NAME(over)(row < hidden ? NAME(all)(1.0f) : 1.0f - x, 1.0f + x);
            NAME(write)(gates + lane, x);
        }
    }
}
