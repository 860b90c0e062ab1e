/* The memory protection unit of Armv8-M: nothing may be reached but what a region holds. */

/* Numbers, given by the linker as addresses. */
extern uint8_t FLASH_AT[], FLASH_SIZE[], WEIGHTS_AT[], WEIGHTS_SIZE[];

enum { WRITE = 1 << 1, CONSTANT = 3 << 1, NEVER_RUN = 1 };

static void set_region(uint32_t number, uint32_t at, uint32_t size, uint32_t access)
{
    DEVICE_WORD(0xe000ed98) = number;
    DEVICE_WORD(0xe000ed9c) = at | access;
    DEVICE_WORD(0xe000eda0) = ((at + size - 1) & ~31u) | 1u;
}

static void fence(uint32_t at, uint32_t size)
{
    DEVICE_WORD(0xe000edc0) = 0x44; /* memory that is not cached */
    set_region(0, (uint32_t)FLASH_AT, (uint32_t)FLASH_SIZE, CONSTANT);
    set_region(1, (uint32_t)WEIGHTS_AT, (uint32_t)WEIGHTS_SIZE, CONSTANT | NEVER_RUN);
    set_region(2, at, size, WRITE | NEVER_RUN);
    set_region(3, 0x40000000, 0x20000000, WRITE | NEVER_RUN); /* devices */
    DEVICE_WORD(0xe000ed94) = 1;
    __asm__ volatile("dsb\n isb");
}
