/* What every start-up does: RAM filled, and the stack painted, to see how much of it is used. */
#ifndef START_H
#define START_H

#include "device.h"

extern uint32_t data_image[], data_low[], data_high[], bss_low[], bss_high[];
extern uint32_t stack_low[], stack_high[];
extern uint8_t RAM_SIZE[]; /* a number, given by the linker as an address */

int main(void);

static inline void fill_ram(void)
{
    uint32_t *from = data_image, *to;
    for (to = data_low; to < data_high;) {
        *to++ = *from++;
    }
    for (to = bss_low; to < bss_high;) {
        *to++ = 0;
    }
}

/* Up to a little below the top, where the stack is in use. */
static inline void paint_stack(const uint32_t *top)
{
    uint32_t *to;
    for (to = stack_low; to < top - 8;) {
        *to++ = DEVICE_PAINT;
    }
}

uint32_t device_stack_bytes(void)
{
    const uint32_t *word = stack_low;
    while (word < stack_high && *word == DEVICE_PAINT) {
        word++;
    }
    return (uint32_t)((const uint8_t *)stack_high - (const uint8_t *)word);
}

#endif
