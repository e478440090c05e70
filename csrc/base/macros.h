/* SPDX-License-Identifier: MIT */
/* Small compiler helpers every folder may use. */
#ifndef CW_BASE_MACROS_H
#define CW_BASE_MACROS_H

#include <stddef.h>
#include <stdint.h>

#define CW_MUSTCHECK __attribute__((warn_unused_result))
#define CW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CW_NORETURN __attribute__((noreturn))
#define CW_LIKELY(x) __builtin_expect(!!(x), 1)
#define CW_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Runs once, in a file that is compiled to be fast: this one may be small. */
#define CW_COLD __attribute__((cold))

#define CW_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define CW_MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct of `type` whose member `field` is at `ptr`. */
#define CW_CONTAINER(ptr, type, field) ((type *)((char *)(ptr)-offsetof(type, field)))

/* For interfaces of others that only read what they take as writable: an iovec that is
 * sent, the words of main() and exec. */
static inline void *cw_unconst(const void *p) {
  return (void *)(uintptr_t)p;
}

/* A borrowed run of bytes: not NUL-terminated, not owned. */
typedef struct cw_span {
  const char *p;
  size_t len;
} cw_span_t;

#endif
