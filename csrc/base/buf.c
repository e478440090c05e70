/* SPDX-License-Identifier: MIT */
/* Growable byte buffer. */
#include "base/buf.h"

#include <string.h>

#include "base/fault.h"

int cw_buf_append(cw_buf_t *b, const void *data, size_t n) {
  if (n == 0) return 0;
  if (n > b->cap - b->len && b->off > 0) {
    memmove(b->p, b->p + b->off, b->len - b->off);
    b->len -= b->off;
    b->off = 0;
  }
  if (n > b->cap - b->len) {
    size_t cap = b->cap ? b->cap : 1024;
    while (cap - b->len < n) cap *= 2;
    char *p = cw_realloc(b->p, cap);
    if (!p) return -1;
    b->p = p;
    b->cap = cap;
  }
  memcpy(b->p + b->len, data, n);
  b->len += n;
  return 0;
}

void cw_buf_consume(cw_buf_t *b, size_t n) {
  b->off += n;
  if (b->off == b->len) b->off = b->len = 0;
}

void cw_buf_free(cw_buf_t *b) {
  free(b->p);
  memset(b, 0, sizeof(*b));
}
