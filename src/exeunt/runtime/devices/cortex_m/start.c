/* From reset to main on a Cortex-M, with RAM fenced.
 *
 * What reaches beyond the first RAM_SIZE bytes of RAM, or below them, ends the program with status
 * 99 and, where the processor tells them, the cause and the address. RAM_SIZE is a multiple of 32.
 */
#include "start.h"
#include FENCE
#include "semihosting.h"

__attribute__((used)) static void report_fault(void)
{
#if __ARM_ARCH >= 7
    host_print("fault ");
    host_print_hexadecimal(DEVICE_WORD(0xe000ed28));
    host_print(" at ");
    host_print_hexadecimal(DEVICE_WORD(0xe000ed34));
    host_print("\n");
#else
    host_print("fault\n");
#endif
    host_exit(99);
}

/* The stack may be what is wrong: begin with a fresh one, without the fence. */
__attribute__((naked)) static void fault(void)
{
    __asm__ volatile(
#if __ARM_ARCH >= 7
        "ldr r0, =0xe000ed94\n mov r1, #0\n str r1, [r0]\n dsb\n isb\n"
#endif
        "ldr r0, =stack_high\n mov sp, r0\n ldr r0, =report_fault\n bx r0");
}

void start(void);
__attribute__((used)) void start(void)
{
    uint32_t *top;
#ifdef __ARM_FP
    DEVICE_WORD(0xe000ed88) |= 0xfu << 20;
    __asm__ volatile("dsb\n isb");
#endif
#if __ARM_ARCH >= 7
    DEVICE_WORD(0xe000ed24) |= 7u << 16; /* faults have their own handlers */
#endif
    fill_ram();
    __asm__ volatile("mov %0, sp" : "=r"(top));
    paint_stack(top);
    fence((uint32_t)stack_low, (uint32_t)RAM_SIZE);
    device_start_ticks();
    host_exit(main());
}

typedef void handler(void);

__attribute__((section(".vectors"), used)) static handler *const vectors[16] = {
    (handler *)stack_high, start, fault, fault, fault, fault, fault, fault, NULL, NULL, NULL,
    fault, fault, NULL, fault, fault,
};
