/* Group norm: each group of channels less its mean over the map, divided by its deviation. */
#ifndef GROUP_NORM_H
#define GROUP_NORM_H

#include "exn_f32.h"

typedef struct group_norm_f32 {
    const float *scale, *shift;  /* by channel */
    uint16_t groups;
    float epsilon;
} group_norm_f32;

exn_kernel group_norm_f32_make;

#endif
