/* Calls to the host by semihosting: a debugger or an emulator carries them out. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>
#include <string.h>

enum host_call {
    HOST_OPEN = 0x01,
    HOST_PRINT = 0x04,
    HOST_READ = 0x06,
    HOST_SEEK = 0x0a,
    HOST_WORDS = 0x15,
    HOST_EXIT = 0x20
};

static inline intptr_t host(enum host_call call, const void *arguments)
{
#ifdef __riscv
    register intptr_t a0 __asm__("a0") = (intptr_t)call;
    register const void *a1 __asm__("a1") = arguments;
    __asm__ volatile(".balign 16\n .option push\n .option norvc\n"
                     "slli zero, zero, 0x1f\n ebreak\n srai zero, zero, 7\n .option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
#else
    register intptr_t r0 __asm__("r0") = (intptr_t)call;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#endif
}

static inline void host_print(const char *text)
{
    host(HOST_PRINT, text);
}

static inline void host_print_hexadecimal(uint32_t word)
{
    char text[11] = "0x";
    int k;
    for (k = 0; k < 8; k++) {
        text[2 + k] = "0123456789abcdef"[word >> (28 - 4 * k) & 15];
    }
    text[10] = 0;
    host_print(text);
}

/* A handle, or -1. */
static inline intptr_t host_open(const char *path)
{
    const intptr_t arguments[3] = {(intptr_t)path, 1 /* rb */, (intptr_t)strlen(path)};
    return host(HOST_OPEN, arguments);
}

/* Whether all `count` bytes were read. */
static inline int host_read(intptr_t handle, void *bytes, size_t count)
{
    const intptr_t arguments[3] = {handle, (intptr_t)bytes, (intptr_t)count};
    return host(HOST_READ, arguments) == 0;
}

/* Whether the next read begins at byte `at`. */
static inline int host_seek(intptr_t handle, size_t at)
{
    const intptr_t arguments[2] = {handle, (intptr_t)at};
    return host(HOST_SEEK, arguments) == 0;
}

/* The command line; whether it fitted. */
static inline int host_words(char *text, size_t size)
{
    const intptr_t arguments[2] = {(intptr_t)text, (intptr_t)size};
    return host(HOST_WORDS, arguments) == 0;
}

__attribute__((noinline, unused)) static void host_print_number(int64_t number)
{
    char text[24];
    char *at = text + sizeof text - 1;
    uint64_t left = number < 0 ? (uint64_t)-number : (uint64_t)number;
    *at = 0;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0) {
        *--at = '-';
    }
    *--at = ' ';
    host_print(at);
}

/* Ends a word; gives what comes after it and the space behind it. */
static inline char *host_next_word(char *word)
{
    for (; *word != 0 && *word != ' '; word++) {
    }
    if (*word == ' ') {
        *word++ = 0;
    }
    return word;
}

static inline void host_exit(int status)
{
    const intptr_t arguments[2] = {0x20026 /* the application ends */, status};
    host(HOST_EXIT, arguments);
    for (;;) {
    }
}

#endif
