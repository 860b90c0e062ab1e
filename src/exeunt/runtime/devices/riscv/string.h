/* All of a C library that is needed, for compilers that come without one. */
#ifndef DEVICE_STRING_H
#define DEVICE_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
size_t strlen(const char *text);

#endif
