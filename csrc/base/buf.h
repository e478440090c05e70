/* SPDX-License-Identifier: MIT */
/* A growable byte buffer with a consumed prefix: bytes between `off` and `len`
 * are pending. All zero is an empty buffer. Not thread-safe. */
#ifndef CW_BASE_BUF_H
#define CW_BASE_BUF_H

#include <stddef.h>

#include "base/macros.h"

typedef struct cw_buf {
  char *p;
  size_t off, len, cap;
} cw_buf_t;

static inline size_t cw_buf_pending(const cw_buf_t *b) {
  return b->len - b->off;
}

/* Appends a copy of `n` bytes. Returns 0, or -1 when out of memory; the buffer
 * is unchanged then. */
CW_MUSTCHECK int cw_buf_append(cw_buf_t *b, const void *data, size_t n);

/* Drops `n` pending bytes from the front; an emptied buffer starts over. */
void cw_buf_consume(cw_buf_t *b, size_t n);

/* Gives the memory back. */
void cw_buf_free(cw_buf_t *b);

#endif
