/* The first timer of an nRF51, upwards; it is read by capturing it. */
#include "device.h"

#define TIMER(offset) DEVICE_WORD(0x40008000u + (offset))

void device_start_ticks(void)
{
    TIMER(0x508) = 3; /* 32 bits */
    TIMER(0x510) = 0; /* each of its clock's */
    TIMER(0x000) = 1;
}

uint32_t device_ticks(void)
{
    TIMER(0x040) = 1;
    return TIMER(0x540);
}
