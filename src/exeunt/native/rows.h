/* What is done with the rows of a matrix, column by column; see `lanes.h` for how it is included.
 *
 * `wide` numbers make a row, a multiple of the lanes. Several rows are read at a time, and sums stay
 * in registers meanwhile.
 */

/* What a column's numbers become: a line, kept between its limits. */
INLINE vec NAME(on_line)(const row_lines *lines, size_t place, vec x)
{
    return NAME(read)(lines->slopes + place) * x + NAME(read)(lines->offsets + place);
}

/* The gradient of a number that came through unbounded; zero of any other. */
INLINE vec NAME(passed)(const row_lines *lines, vec y, vec gradient)
{
#if LANES > 1
    return NAME(of_bits)((vec_bits)((y > lines->low) & (y < lines->high)) &
                         NAME(bits_of)(gradient));
#else
    return y > lines->low && y < lines->high ? gradient : 0.0f;
#endif
}

/* sums[0][column] += x - origin, sums[1][column] += (x - origin)^2 */
static TARGET void NAME(sum_rows)(const float *x, size_t rows, size_t wide, const float *origins,
                                  float *sums)
{
    size_t place, r;
    for (place = 0; place < wide; place += LANES) {
        vec origin = NAME(read)(origins + place);
        vec first = NAME(read)(sums + place), second = NAME(read)(sums + wide + place);
        for (r = 0; r < rows; r++) {
            vec from = NAME(read)(x + r * wide + place) - origin;
            first += from;
            second += from * from;
        }
        NAME(write)(sums + place, first);
        NAME(write)(sums + wide + place, second);
    }
}

/* Of gradients g that pass: sums[0][column] += g, sums[1][column] += g * (x - origin) */
static TARGET void NAME(sum_gradients)(const float *x, const float *gradients, size_t rows,
                                       size_t wide, const row_lines *lines, const float *origins,
                                       float *sums)
{
    size_t place, r;
    for (place = 0; place < wide; place += LANES) {
        vec origin = NAME(read)(origins + place);
        vec first = NAME(read)(sums + place), second = NAME(read)(sums + wide + place);
        for (r = 0; r < rows; r++) {
            vec in = NAME(read)(x + r * wide + place);
            vec g = NAME(read)(gradients + r * wide + place);
            g = NAME(passed)(lines, NAME(on_line)(lines, place, in), g);
            first += g;
            second += g * (in - origin);
        }
        NAME(write)(sums + place, first);
        NAME(write)(sums + wide + place, second);
    }
}

static TARGET void NAME(map_rows)(const float *x, size_t rows, size_t wide, const row_lines *lines,
                                  float *out)
{
    vec low = NAME(all)(lines->low), high = NAME(all)(lines->high);
    size_t place;
    for (; rows > 0; rows--, x += wide, out += wide) {
        for (place = 0; place < wide; place += LANES) {
            vec y = NAME(on_line)(lines, place, NAME(read)(x + place));
            NAME(write)(out + place, LEAST(high, MOST(low, y)));
        }
    }
}

/* slope * g + more * x + rest, of gradients g that pass */
static TARGET void NAME(map_gradients)(const float *x, const float *gradients, size_t rows,
                                       size_t wide, const row_lines *lines, const float *more,
                                       const float *rest, float *out)
{
    size_t place;
    for (; rows > 0; rows--, x += wide, gradients += wide, out += wide) {
        for (place = 0; place < wide; place += LANES) {
            vec in = NAME(read)(x + place), g = NAME(read)(gradients + place);
            g = NAME(passed)(lines, NAME(on_line)(lines, place, in), g);
            g = NAME(read)(lines->slopes + place) * g + NAME(read)(more + place) * in;
            NAME(write)(out + place, g + NAME(read)(rest + place));
        }
    }
}
