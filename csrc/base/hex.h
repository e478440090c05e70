/* SPDX-License-Identifier: MIT */
/* Hexadecimal digits. Pure; any thread. */
#ifndef CW_BASE_HEX_H
#define CW_BASE_HEX_H

enum { CW_HEX_ESCAPE = 4 }; /* bytes of \xHH */

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

#endif
