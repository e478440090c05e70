/* SPDX-License-Identifier: MIT */
/* Escapes for logs. */
#include "base/escape.h"

#include <string.h>

#include "base/hex.h"
#include "base/macros.h"

size_t cw_utf8_length(const unsigned char *p, size_t n) {
  static const struct {
    unsigned char first, last, low, high;
    size_t len;
  } all[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
             {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
             {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
             {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    if (p[0] < all[i].first || p[0] > all[i].last) continue;
    if (n < all[i].len || p[1] < all[i].low || p[1] > all[i].high) return 0;
    for (size_t k = 2; k < all[i].len; k++)
      if ((p[k] & 0xc0) != 0x80) return 0;
    return all[i].len;
  }
  return 0;
}

unsigned cw_hidden_control(const unsigned char *p, size_t len) {
  if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0) return p[1];
  if (len == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) == 0xa8)
    return 0x2000u | (p[2] & 0x3f);
  return 0;
}

/* Bytes from `p` on that stay as they are and belong together, or 0. */
static size_t plain_length(const char *p, size_t n, const char *kept) {
  const unsigned char *u = (const unsigned char *)p;
  if (u[0] < 0x20 || u[0] == 0x7f) return u[0] && strchr(kept, u[0]) ? 1 : 0;
  if (u[0] < 0x80) return 1;
  size_t len = cw_utf8_length(u, n);
  return len && !cw_hidden_control(u, len) ? len : 0;
}

size_t cw_escape_plain(const char *p, size_t n, const char *kept) {
  size_t at = 0, len;
  while (at < n && (len = plain_length(p + at, n - at, kept)) > 0) at += len;
  return at;
}

size_t cw_escape(char *out, size_t size, const char *p, size_t n, const char *kept,
                 size_t *used) {
  size_t at = 0, len = 0;
  while (at < n) {
    size_t plain = plain_length(p + at, n - at, kept);
    char hex[CW_HEX_ESCAPE];
    cw_hex_escape((unsigned char)p[at], hex);
    size_t more = plain ? plain : sizeof(hex);
    if (more > size - len) break;
    memcpy(out + len, plain ? p + at : hex, more);
    len += more;
    at += plain ? plain : 1;
  }
  if (used) *used = at;
  return len;
}
