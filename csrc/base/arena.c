/* SPDX-License-Identifier: MIT */
/* Bump allocator behind a request. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#include "base/fault.h"

struct cw_arena_block {
  cw_arena_block_t *older;
  alignas(max_align_t) char mem[];
};

enum { BLOCK = 8 * 1024 };

void cw_arena_init(cw_arena_t *a, void *mem, size_t len) {
  a->first = mem;
  a->first_len = len;
  a->extra = NULL;
  a->next = mem;
  a->end = a->first + len;
}

void *cw_arena_alloc(cw_arena_t *a, size_t len) {
  len = (len + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
  if (CW_UNLIKELY(len > (size_t)(a->end - a->next))) {
    size_t want = CW_MAX(len, (size_t)BLOCK);
    cw_arena_block_t *b = cw_malloc(sizeof(*b) + want);
    if (!b) return NULL;
    b->older = a->extra;
    a->extra = b;
    a->next = b->mem;
    a->end = b->mem + want;
  }
  void *p = a->next;
  a->next += len;
  return p;
}

void cw_arena_reset(cw_arena_t *a) {
  while (a->extra) {
    cw_arena_block_t *older = a->extra->older;
    free(a->extra);
    a->extra = older;
  }
  a->next = a->first;
  a->end = a->first + a->first_len;
}
