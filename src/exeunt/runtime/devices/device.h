/* What a board's own files give. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdint.h>

/* Ticks of the board's clock since the start; they wrap. */
uint32_t device_ticks(void);

/* The most of the stack that was ever used. */
uint32_t device_stack_bytes(void);

/* Starts the clock. */
void device_start_ticks(void);

#define DEVICE_WORD(address) (*(volatile uint32_t *)(address))

/* What the stack is filled with, to see how much of it was overwritten. */
enum { DEVICE_PAINT = 0x5aa55aa5 };

#endif
