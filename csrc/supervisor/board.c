/* SPDX-License-Identifier: MIT */
/* The supervisor's side of the board. Workers can write anything to it at any time: no
 * decision is taken on what is found there without a check (base/board.h). */
#include "base/clock.h"
#include "supervisor/supervisor_internal.h"

/* A worker that writes to us without end gets this many looks in so much time: far more
 * than an honest one needs, and less than a hundredth of a processor. */
enum { WINDOW_US = 100 * MS, WINDOW_MOST = 32 };

void cw_board_publish(state_t *st) {
  cw_board_t *b = st->board;
  atomic_store_explicit(&b->watch_ms, st->own.watch_ms, memory_order_relaxed);
  atomic_store_explicit(&b->draining, st->own.draining, memory_order_relaxed);
  atomic_store_explicit(&b->restarts, st->own.restarts, memory_order_relaxed);
  atomic_store_explicit(&b->reloads, st->own.reloads, memory_order_relaxed);
  atomic_store_explicit(&b->workers, st->want, memory_order_relaxed);
  atomic_store_explicit(&b->used, st->own.used, memory_order_release);
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
  st->own.used = CW_MAX(st->own.used, slot + 1);
  /* 0 would say that nobody watches, and the worker may serve before the next look. */
  if (st->own.watch_ms == 0) st->own.watch_ms = 1;
  cw_board_publish(st);
}

bool cw_pace_allows(const pace_t *p, int64_t now, int64_t *wait) {
  int64_t left = p->since + WINDOW_US - now;
  if (p->n < WINDOW_MOST || left <= 0) return true;
  *wait = *wait < 0 ? left : CW_MIN(*wait, left);
  return false;
}

void cw_pace_note(pace_t *p, int64_t now) {
  if (now - p->since >= WINDOW_US) *p = (pace_t){.since = now};
  p->n++;
}
