/* SPDX-License-Identifier: MIT */
/* Allocation with fault injection. In a build with CW_FAULTS the n-th call after
 * cw_fault_arm(n) fails, once, so that tests can walk through every failure; otherwise
 * these are malloc and friends. Any thread. */
#ifndef CW_BASE_FAULT_H
#define CW_BASE_FAULT_H

#include <stdlib.h>

#ifdef CW_FAULTS
#include <stdatomic.h>
#include <stdbool.h>

extern atomic_long cw_fault_countdown;

static inline void cw_fault_arm(long n) {
  atomic_store(&cw_fault_countdown, n);
}
/* Calls until the failure; 0 once it came, or where none was asked for. */
static inline long cw_fault_left(void) {
  long left = atomic_load(&cw_fault_countdown);
  return left > 0 ? left : 0;
}
/* Counts one call. Returns whether it is the one that fails. */
static inline bool cw_fault_now(void) {
  return atomic_load_explicit(&cw_fault_countdown, memory_order_relaxed) > 0 &&
         atomic_fetch_sub(&cw_fault_countdown, 1) == 1;
}
static inline void *cw_malloc(size_t n) {
  return cw_fault_now() ? NULL : malloc(n);
}
static inline void *cw_calloc(size_t n, size_t size) {
  return cw_fault_now() ? NULL : calloc(n, size);
}
static inline void *cw_realloc(void *p, size_t n) {
  return cw_fault_now() ? NULL : realloc(p, n);
}
#else
#define cw_malloc malloc
#define cw_calloc calloc
#define cw_realloc realloc
#endif

#endif
