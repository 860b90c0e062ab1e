/* The memory protection unit of Armv7-M: powers of two, in eighths. */

/* Lets eighths of a region of 2^bits bytes be reached; `closed` has a bit for each that may not. */
static void set_region(uint32_t number, uint32_t at, uint32_t bits, uint32_t closed,
                       uint32_t access)
{
    DEVICE_WORD(0xe000ed98) = number;
    DEVICE_WORD(0xe000ed9c) = at;
    DEVICE_WORD(0xe000eda0) = 1u << 28 | access << 24 | closed << 8 | (bits - 1) << 1 | 1u;
}

enum { NOBODY = 0, EVERYBODY = 3 };

/* Shuts 8 MiB from `at` on and what lies below, then opens RAM with as many eighths of a region as
 * it fills, and what is left with smaller regions. */
static void fence(uint32_t at, uint32_t size)
{
    uint32_t bits, number = 2;
    set_region(0, at, 23, 0, NOBODY);
    set_region(1, at - (1u << 20), 20, 0, NOBODY);
    for (bits = 23; size > 0 && number < 8; number++) {
        uint32_t eighth, first, count;
        while (bits > 8 && size <= 1u << (bits - 1)) {
            bits--;
        }
        eighth = 1u << (bits - 3);
        first = at / eighth % 8;
        count = size / eighth < 8 - first ? size / eighth : 8 - first;
        set_region(number, at - first * eighth, bits, ~(0xffu >> (8 - count) << first) & 0xffu,
                   EVERYBODY);
        at += count * eighth;
        size -= count * eighth;
    }
    DEVICE_WORD(0xe000ed94) = 5; /* on, with the usual map elsewhere */
    __asm__ volatile("dsb\n isb");
}
