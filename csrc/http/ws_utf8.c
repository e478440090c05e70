/* SPDX-License-Identifier: MIT */
/* UTF-8 as a stream: RFC 3629 section 4, eight bytes at a time where they are ASCII. */
#include "http/ws_utf8.h"

#include <string.h>

/* Begins a character of more than one byte. The second byte alone tells of an overlong
 * form, a surrogate, and what is beyond U+10FFFF. */
static bool begin(cw_ws_utf8_t *u, unsigned char c) {
  u->low = 0x80;
  u->high = 0xbf;
  if (c >= 0xc2 && c <= 0xdf) {
    u->need = 1;
  } else if ((c & 0xf0) == 0xe0) {
    u->need = 2;
    if (c == 0xe0) u->low = 0xa0;
    if (c == 0xed) u->high = 0x9f;
  } else if (c >= 0xf0 && c <= 0xf4) {
    u->need = 3;
    if (c == 0xf0) u->low = 0x90;
    if (c == 0xf4) u->high = 0x8f;
  } else {
    return false;
  }
  return true;
}

/* The first byte from `p` on that is not ASCII, or `end`. */
static const char *skip_ascii(const char *p, const char *end) {
  uint64_t eight;
  for (; end - p >= 8; p += 8) {
    memcpy(&eight, p, 8);
    if (eight & UINT64_C(0x8080808080808080)) break;
  }
  while (p < end && !(*p & 0x80)) p++;
  return p;
}

bool cw_ws_utf8_feed(cw_ws_utf8_t *u, const char *p, size_t n) {
  const char *end = p + n;
  while (p < end) {
    if (!u->need) {
      p = skip_ascii(p, end);
      if (p == end) break;
      if (!begin(u, (unsigned char)*p++)) return false;
      continue;
    }
    unsigned char c = (unsigned char)*p++;
    if (c < u->low || c > u->high) return false;
    u->need--;
    u->low = 0x80;
    u->high = 0xbf;
  }
  return true;
}
