/* SPDX-License-Identifier: MIT */
/* Hexadecimal digits. Pure; any thread. */
#ifndef CW_BASE_HEX_H
#define CW_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

enum {
  CW_HEX_ESCAPE = 4, /* bytes of \xHH */
  CW_HEX_MAX = 16,   /* and of the largest number */
};

/* What the digit `c` is worth, or -1 where it is none. */
static inline int cw_hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Writes `byte` as \xHH, without a NUL. */
static inline void cw_hex_escape(unsigned char byte, char out[CW_HEX_ESCAPE]) {
  static const char digits[] = "0123456789ABCDEF";
  out[0] = '\\';
  out[1] = 'x';
  out[2] = digits[byte >> 4];
  out[3] = digits[byte & 15];
}

/* Writes `n` in small letters, without a NUL. Returns how many bytes. */
static inline size_t cw_hex(char out[CW_HEX_MAX], uint64_t n) {
  size_t len = 1;
  for (uint64_t rest = n >> 4; rest; rest >>= 4) len++;
  for (size_t i = len; i > 0; n >>= 4) out[--i] = "0123456789abcdef"[n & 15];
  return len;
}

#endif
