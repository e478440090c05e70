/* SPDX-License-Identifier: MIT */
/* The supervisor's side of the board. Workers can write anything to it at any time: no
 * decision is taken on what is found there without a check (base/board.h). */
#include "supervisor/board.h"

#include <stdio.h>

void cw_board_sign(cw_board_t *b) {
  b->magic = CW_BOARD_MAGIC;
  b->layout = CW_BOARD_LAYOUT;
  snprintf(b->version, sizeof(b->version), "%s", CW_VERSION);
}

void cw_board_publish(state_t *st) {
  cw_board_t *b = st->board;
  atomic_store_explicit(&b->watch_ms, st->published.watch_ms, memory_order_relaxed);
  atomic_store_explicit(&b->draining, st->published.draining, memory_order_relaxed);
  atomic_store_explicit(&b->restarts, st->published.restarts, memory_order_relaxed);
  atomic_store_explicit(&b->reloads, st->published.reloads, memory_order_relaxed);
  atomic_store_explicit(&b->workers, st->want, memory_order_relaxed);
  atomic_store_explicit(&b->used, st->published.used, memory_order_release);
}

void cw_board_clear(state_t *st, int slot) {
  cw_slot_t *s = &st->board->slots[slot];
  atomic_store(&s->state, CW_WORKER_STARTING);
  atomic_store(&s->pid, 0);
  atomic_store(&s->wish, CW_WISH_NONE);
  atomic_store(&s->busy, 0);
  atomic_store(&s->age, st->n_ages + 1);
  atomic_store(&s->beat, 0);
  atomic_store(&s->oldest, 0);
  for (int i = 0; i < CW_RUNNING; i++)
    if (atomic_load(&s->running[i].busy)) atomic_store(&s->running[i].busy, 0);
  st->published.used = CW_MAX(st->published.used, slot + 1);
  /* 0 would say that nobody watches, and the worker may serve before the next look. */
  if (st->published.watch_ms == 0) st->published.watch_ms = 1;
  cw_board_publish(st);
}
