/* tanh in integers: a straight line for every 32nd, from -8 to 8. */
#ifndef EXN_TANH_H
#define EXN_TANH_H

#include "exn_integers.h"

extern const exn_line exn_tanh_lines[512];

#ifdef EXN_UNITS
enum { EXN_HEIGHTS = 192 };

extern const int16_t exn_tanh_heights[EXN_HEIGHTS];
#endif

#endif
