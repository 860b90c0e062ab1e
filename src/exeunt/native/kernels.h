/* `lanes.h`, `cells.h` and `rows.h` for the instruction set that the macros describe, which are then gone. */
#include "lanes.h"
#include "cells.h"
#include "rows.h"

#undef INLINE
#undef vec
#undef vec_bits
#undef LANES
#undef SUMS
#undef NAME
#undef TARGET
#undef LEAST
#undef MOST
#undef REST
#undef SHIFT
#undef RECIPROCAL
