/* The counter of Arm's SSE-300, upwards. */
#include "device.h"

void device_start_ticks(void)
{
    DEVICE_WORD(0x58100000) = 1;
}

uint32_t device_ticks(void)
{
    return DEVICE_WORD(0x58101000);
}
