/* The patches of ReX along one axis.
 *
 * A line is a row or a column that some patch reads, padding included; patch p reads the lines from
 * p * hop up to p * hop + size.
 */
#ifndef EXN_PATCHES_H
#define EXN_PATCHES_H

#include "exn_access.h"

enum { EXN_MAX_PATCH = 32 };

typedef struct exn_patches {
    uint8_t size;       /* lines of a patch */
    uint8_t stride;     /* from patch to patch, in pixels */
    uint8_t hop;        /* and in lines that are read */
    uint8_t lead;       /* lines before the map */
    uint8_t under_way;  /* patches that a line may belong to */
    uint16_t count;     /* patches */
    uint16_t lines;
} exn_patches;

/* The patches that a line belongs to: from the first to before the last. */
EXN_INLINE uint32_t exn_first_patch(const exn_patches *axis, uint32_t line)
{
    return line < axis->size ? 0 : (line - axis->size) / axis->hop + 1;
}

EXN_INLINE uint32_t exn_last_patch(const exn_patches *axis, uint32_t line)
{
    uint32_t last = line / axis->hop + 1;
    return last < axis->count ? last : axis->count;
}

/* The line of an input row or column, or `lines` for one that no patch reads. */
EXN_INLINE uint32_t exn_line_of(const exn_patches *axis, uint32_t index)
{
    uint32_t at = index + axis->lead, line = at;
    if (axis->stride > axis->hop) {
        uint32_t rest = at % axis->stride;
        line = rest < axis->size ? at / axis->stride * axis->size + rest : axis->lines;
    }
    return line < axis->lines ? line : axis->lines;
}

/* The input row or column of a line; beside the map for one of padding. */
EXN_INLINE int32_t exn_index_of(const exn_patches *axis, uint32_t line)
{
    if (axis->stride > axis->hop) {
        line = line / axis->size * axis->stride + line % axis->size;
    }
    return (int32_t)line - axis->lead;
}

#endif
