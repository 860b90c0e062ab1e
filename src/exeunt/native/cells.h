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
    vec sums[SUMS];
    size_t i;
    int g, u, v;
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
    UNROLL for (u = 0; u < units; u++) {
        UNROLL for (v = 0; v < vectors; v++) {
            const vec *gate = sums + u * vectors + v;
            const int apart = units * vectors; /* of two gates of a unit */
            float *place = state + (unit + (size_t)u) * wide + v * LANES;
            vec old = begins ? NAME(all)(0.0f) : NAME(read)(place), after;
            if (kind == REX_GRU) {
                const float *fresh = gates + (2 * hidden + unit + (size_t)u) * gates_wide;
                vec reset = 1.0f / (1.0f + NAME(power)(gate[0]));
                vec z = NAME(power)(gate[apart]);
                vec n = NAME(power)(NAME(read)(fresh + v * LANES) + reset * gate[2 * apart]);
                after = ((1.0f - n) * z + (1.0f + n) * old) / ((1.0f + n) * (1.0f + z));
            } else if (kind == REX_LSTM) {
                float *kept = place + hidden * wide;
                vec memory = begins ? NAME(all)(0.0f) : NAME(read)(kept);
                vec i_ = NAME(power)(gate[0]), f = NAME(power)(gate[apart]);
                vec n = NAME(power)(gate[2 * apart]), o = NAME(power)(gate[3 * apart]), m;
                memory = memory / (1.0f + f) + (1.0f - n) / ((1.0f + i_) * (1.0f + n));
                NAME(write)(kept, memory);
                m = NAME(power)(SCALE_TANH * memory);
                after = (1.0f - m) / ((1.0f + o) * (1.0f + m));
            } else if (kind == REX_RNN) {
                vec n = NAME(power)(gate[0]);
                after = (1.0f - n) / (1.0f + n);
            } else {
                vec z = NAME(power)(SCALE_SIGMOID * gate[0] + biases[u]);
                vec n = NAME(power)(SCALE_TANH * gate[0] + biases[hidden + (size_t)u]);
                const float *shares = rnn->biases + 2 * hidden;
                vec share = (shares[0] * z) / (1.0f + z) + shares[1];
                after = old / (1.0f + z) + share * ((1.0f - n) / (1.0f + n));
            }
            NAME(write)(next + ((unit + (size_t)u) * 2 + (size_t)v) * LANES, after);
        }
    }
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
    case REX_RNN:
        NAME(step_kind)(rnn, gates, gates_wide, state, wide, next, lanes, begins, REX_RNN);
        break;
    default:
        NAME(step_kind)(rnn, gates, gates_wide, state, wide, next, lanes, begins, REX_FASTGRNN);
    }
}
