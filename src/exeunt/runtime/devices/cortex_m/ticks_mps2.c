/* The first of two timers of Arm's boards, at TIMER_AT, downwards. */
#include "device.h"

void device_start_ticks(void)
{
    /* on, 32 bits, no interrupts: those would take stack whenever they come */
    DEVICE_WORD(TIMER_AT + 8) = 0x82;
}

uint32_t device_ticks(void)
{
    return 0xffffffffu - DEVICE_WORD(TIMER_AT + 4);
}
