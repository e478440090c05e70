/* SPDX-License-Identifier: MIT */
/* Request-lifetime memory: bump allocation, gone in one call.
 *
 * Owned by one request; touched by whoever owns that request at the time (the
 * baton holder before dispatch, then the thread that runs it). */
#ifndef CW_BASE_ARENA_H
#define CW_BASE_ARENA_H

#include <stddef.h>

#include "base/macros.h"

typedef struct cw_arena_block cw_arena_block_t;

typedef struct cw_arena {
  char *next, *end;        /* free part of the newest block */
  cw_arena_block_t *extra; /* blocks beyond the caller's first one, newest first */
  char *first;
  size_t first_len;
} cw_arena_t;

/* Starts an empty arena that first uses the caller's `mem` of `len` bytes. */
void cw_arena_init(cw_arena_t *a, void *mem, size_t len);

/* Returns `len` bytes aligned for any object, or NULL when out of memory. */
CW_MUSTCHECK void *cw_arena_alloc(cw_arena_t *a, size_t len);

/* Frees every extra block and starts over in the first one. */
void cw_arena_reset(cw_arena_t *a);

#endif
