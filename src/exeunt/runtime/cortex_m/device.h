/* What start.c knows of the machine. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdint.h>

/* Ticks of the processor clock since the start; they wrap. */
uint32_t device_ticks(void);

/* The most of the stack that was ever used. */
uint32_t device_stack_bytes(void);

#endif
