/* SPDX-License-Identifier: MIT */
/* Decimal digits. snprintf() takes some 800 instructions for what these do in 60, and a
 * response has a length. Pure; any thread. */
#ifndef CW_BASE_DECIMAL_H
#define CW_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CW_DECIMAL_MAX = 20 }; /* bytes of the largest number */

/* Writes `n` without a NUL. Returns how many bytes. */
static inline size_t cw_decimal(char out[CW_DECIMAL_MAX], uint64_t n) {
  char digits[CW_DECIMAL_MAX];
  size_t at = sizeof(digits);
  do digits[--at] = (char)('0' + n % 10);
  while ((n /= 10) > 0);
  memcpy(out, digits + at, sizeof(digits) - at);
  return sizeof(digits) - at;
}

#endif
