/* From reset to main on a Cortex-M, with RAM fenced by the memory protection unit.
 *
 * Of the 8 MiB from RAM_AT on only the first RAM_SIZE bytes may be touched, and nothing below them;
 * any other access ends the program with status 99 and the address. RAM_SIZE is a multiple of 32.
 */
#include "device.h"
#include "semihosting.h"

extern uint32_t data_image[], data_low[], data_high[], bss_low[], bss_high[];
extern uint32_t stack_low[], stack_high[];
extern uint8_t RAM_SIZE[]; /* a number, given by the linker as an address */

int main(void);

#define WORD(address) (*(volatile uint32_t *)(address))
#define TIMER_VALUE WORD(0x40002004) /* the first of the board's two, at 25 MHz, downwards */
#define TIMER_CONTROL WORD(0x40002008)

enum { PAINT = 0x5aa55aa5 };

__attribute__((used)) static void report_fault(void)
{
    host_print("fault ");
    host_print_hexadecimal(WORD(0xe000ed28));
    host_print(" at ");
    host_print_hexadecimal(WORD(0xe000ed34));
    host_print("\n");
    host_exit(99);
}

/* The stack may be what is wrong: begin with a fresh one, without the fence. */
__attribute__((naked)) static void fault(void)
{
    __asm__ volatile("ldr r0, =0xe000ed94\n mov r1, #0\n str r1, [r0]\n dsb\n isb\n"
                     "ldr r0, =stack_high\n mov sp, r0\n b report_fault");
}

/* Lets eighths of a region of 2^bits bytes be reached; `closed` has a bit for each that may not. */
static void set_region(uint32_t number, uint32_t at, uint32_t bits, uint32_t closed,
                       uint32_t access)
{
    WORD(0xe000ed98) = number;
    WORD(0xe000ed9c) = at;
    WORD(0xe000eda0) = 1u << 28 | access << 24 | closed << 8 | (bits - 1) << 1 | 1u;
}

enum { NOBODY = 0, EVERYBODY = 3 };

/* Opens RAM with as many eighths of a region as it fills, and what is left with smaller regions. */
static void fence(void)
{
    uint32_t at = (uint32_t)stack_low, left = (uint32_t)RAM_SIZE, bits, number = 2;
    set_region(0, at, 23, 0, NOBODY);
    set_region(1, at - (1u << 20), 20, 0, NOBODY);
    for (bits = 23; left > 0 && number < 8; number++) {
        uint32_t eighth, first, count;
        while (bits > 8 && left <= 1u << (bits - 1)) {
            bits--;
        }
        eighth = 1u << (bits - 3);
        first = at / eighth % 8;
        count = left / eighth < 8 - first ? left / eighth : 8 - first;
        set_region(number, at - first * eighth, bits, ~(0xffu >> (8 - count) << first) & 0xffu,
                   EVERYBODY);
        at += count * eighth;
        left -= count * eighth;
    }
    WORD(0xe000ed94) = 5; /* on, with the usual map elsewhere */
    __asm__ volatile("dsb\n isb");
}

void start(void);
__attribute__((used)) void start(void)
{
    uint32_t *from = data_image, *to, *top;
#ifdef __ARM_FP
    WORD(0xe000ed88) |= 0xfu << 20;
    __asm__ volatile("dsb\n isb");
#endif
    WORD(0xe000ed24) |= 7u << 16; /* faults have their own handlers */
    for (to = data_low; to < data_high;) {
        *to++ = *from++;
    }
    for (to = bss_low; to < bss_high;) {
        *to++ = 0;
    }
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (to = stack_low; to < top - 8;) {
        *to++ = PAINT;
    }
    fence();
    TIMER_CONTROL = 0x82; /* on, 32 bits, no interrupts: those would take stack whenever they come */
    host_exit(main());
}

uint32_t device_ticks(void)
{
    return 0xffffffffu - TIMER_VALUE;
}

uint32_t device_stack_bytes(void)
{
    const uint32_t *word = stack_low;
    while (word < stack_high && *word == PAINT) {
        word++;
    }
    return (uint32_t)((const uint8_t *)stack_high - (const uint8_t *)word);
}

typedef void handler(void);

__attribute__((section(".vectors"), used)) static handler *const vectors[16] = {
    (handler *)stack_high, start, fault, fault, fault, fault, fault, NULL, NULL, NULL, NULL,
    fault, fault, NULL, fault, fault,
};
