/* SPDX-License-Identifier: MIT */
/* Connection timers in per-kind queues. */
#include "http/timeq.h"

#include "base/macros.h"

void cw_timeqs_init(cw_timeqs_t *qs, const uint64_t duration[CW_TIMER_KINDS]) {
  for (int i = 0; i < CW_TIMER_KINDS; i++) {
    cw_list_init(&qs->queue[i]);
    qs->duration[i] = duration[i];
  }
}

void cw_timer_init(cw_timer_t *t) {
  cw_list_init(&t->node);
  t->due = 0;
  t->kind = CW_TIMER_KINDS;
}

void cw_timer_start(cw_timeqs_t *qs, cw_timer_t *t, cw_timer_kind_t kind,
                    uint64_t now) {
  cw_list_remove(&t->node);
  t->due = now + qs->duration[kind];
  t->kind = kind;
  cw_list_push(&qs->queue[kind], &t->node);
}

void cw_timer_stop(cw_timer_t *t) {
  cw_list_remove(&t->node);
}

bool cw_timer_runs(const cw_timer_t *t, cw_timer_kind_t kind) {
  return t->kind == kind && !cw_list_empty(&t->node);
}

static cw_timer_t *first(const cw_list_t *queue) {
  return cw_list_empty(queue) ? NULL : CW_CONTAINER(queue->next, cw_timer_t, node);
}

cw_timer_t *cw_timeqs_expire(cw_timeqs_t *qs, uint64_t now, cw_timer_kind_t *kind) {
  for (int i = 0; i < CW_TIMER_KINDS; i++) {
    cw_timer_t *t = first(&qs->queue[i]);
    if (t && t->due <= now) {
      cw_list_remove(&t->node);
      *kind = (cw_timer_kind_t)i;
      return t;
    }
  }
  return NULL;
}

cw_timer_t *cw_timeqs_oldest(const cw_timeqs_t *qs, cw_timer_kind_t kind) {
  return first(&qs->queue[kind]);
}

uint64_t cw_timeqs_next(const cw_timeqs_t *qs) {
  uint64_t next = UINT64_MAX;
  for (int i = 0; i < CW_TIMER_KINDS; i++) {
    const cw_timer_t *t = first(&qs->queue[i]);
    if (t) next = CW_MIN(next, t->due);
  }
  return next;
}
