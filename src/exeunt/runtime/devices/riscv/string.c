/* Words where both sides allow it, bytes elsewhere. */
#include "string.h"

#include <stdint.h>

typedef uint32_t __attribute__((may_alias)) word;

static int together(const void *to, const void *from)
{
    return (((uintptr_t)to ^ (uintptr_t)from) & 3) == 0;
}

void *memcpy(void *to, const void *from, size_t count)
{
    uint8_t *into = to;
    const uint8_t *out = from;
    if (together(to, from)) {
        for (; count > 0 && ((uintptr_t)into & 3) != 0; count--) {
            *into++ = *out++;
        }
        for (; count >= 4; count -= 4, into += 4, out += 4) {
            *(word *)into = *(const word *)out;
        }
    }
    while (count-- > 0) {
        *into++ = *out++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *into = to;
    const uint8_t *out = from;
    if (into <= out || into >= out + count) {
        return memcpy(to, from, count);
    }
    while (count-- > 0) {
        into[count] = out[count];
    }
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *into = to;
    const uint32_t four = 0x01010101u * (uint8_t)value;
    for (; count > 0 && ((uintptr_t)into & 3) != 0; count--) {
        *into++ = (uint8_t)value;
    }
    for (; count >= 4; count -= 4, into += 4) {
        *(word *)into = four;
    }
    while (count-- > 0) {
        *into++ = (uint8_t)value;
    }
    return to;
}

size_t strlen(const char *text)
{
    size_t count = 0;
    while (text[count] != 0) {
        count++;
    }
    return count;
}
