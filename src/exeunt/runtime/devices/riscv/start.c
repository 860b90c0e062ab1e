/* From reset to main on a 32-bit RISC-V in machine mode, with RAM fenced.
 *
 * What reaches beyond the first RAM_SIZE bytes of RAM, or below them, ends the program with status
 * 99, the cause and the address. RAM_SIZE is a multiple of 32.
 */
#include "semihosting.h"
#include "start.h"

__asm__(".option arch, +zicsr");

#define READ(name, value) __asm__ volatile("csrr %0, " name : "=r"(value))
#define WRITE(name, value) __asm__ volatile("csrw " name ", %0" : : "r"(value))

__attribute__((used, noreturn)) static void report_fault(void)
{
    uint32_t cause, at;
    READ("mcause", cause);
    READ("mtval", at);
    host_print("fault ");
    host_print_hexadecimal(cause);
    host_print(" at ");
    host_print_hexadecimal(at);
    host_print("\n");
    host_exit(99);
    __builtin_unreachable();
}

/* The stack may be what is wrong: begin with a fresh one. */
__attribute__((naked, aligned(4))) static void fault(void)
{
    __asm__ volatile("la sp, stack_high\n j report_fault");
}

/* A region's upper end; its lower one is that of the region before. */
enum { OFF = 0, READ_WRITE = 0x8b, SHUT = 0x88 }; /* locked: for machine mode too */

static void fence(uint32_t at, uint32_t size)
{
    WRITE("pmpaddr0", at >> 2);
    WRITE("pmpaddr1", (at + size) >> 2);
    WRITE("pmpaddr2", (at - (1u << 20)) >> 2);
    WRITE("pmpaddr3", (at + (8u << 20)) >> 2);
    WRITE("pmpcfg0", OFF | READ_WRITE << 8 | OFF << 16 | (uint32_t)SHUT << 24);
    __asm__ volatile("sfence.vma" ::: "memory");
}

__attribute__((used, noreturn)) static void begin(void)
{
    uint32_t *top;
    WRITE("mtvec", fault);
    fill_ram();
    __asm__ volatile("mv %0, sp" : "=r"(top));
    paint_stack(top);
    fence((uint32_t)stack_low, (uint32_t)RAM_SIZE);
    device_start_ticks();
    host_exit(main());
    __builtin_unreachable();
}

void start(void);
__attribute__((naked, used, section(".vectors"))) void start(void)
{
    __asm__ volatile("la sp, stack_high\n j begin");
}

/* Instructions that were executed. */
void device_start_ticks(void)
{
}

uint32_t device_ticks(void)
{
    uint32_t count;
    READ("minstret", count);
    return count;
}
