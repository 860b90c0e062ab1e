/* `lanes.h` and `cells.h` for the instruction set that the macros describe, which are then gone. */
#include "lanes.h"
#include "cells.h"

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
