/* SPDX-License-Identifier: MIT */
/* A hash of short texts: FNV-1a, folded. Any thread. */
#ifndef CW_BASE_HASH_H
#define CW_BASE_HASH_H

#include <stddef.h>

static inline unsigned cw_hash(const char *p, size_t len) {
  unsigned h = 2166136261u;
  for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)p[i]) * 16777619u;
  return h ^ h >> 15;
}

#endif
