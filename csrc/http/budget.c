/* SPDX-License-Identifier: MIT */
/* Memory of requests that come in slowly. */
#include "http/budget.h"

#include "http/server_internal.h"

enum {
  OUT_OF_STEP = 1000,  /* ms: who takes longer is slow, not one of too many */
  MOST_LOOKED_AT = 64, /* connections of a queue */
  FIELDS = 16 * 1024,  /* bytes: a request's fields and small things */
};

size_t cw_conn_most(const cw_limits_t *l) {
  /* Its head; its body, collected or streamed, and the next requests, each with what
   * one recv() may bring; its response. */
  size_t streamed = (size_t)CW_BODY_HIGH + CW_READ_SIZE;
  return l->head + CW_MAX((size_t)l->buffer_body, streamed) + 2 * CW_READ_SIZE +
         CW_OUT_HIGH + FIELDS;
}

/* What it holds; *awaited: ms that its request was waited for before this clock. */
static size_t held_by(cw_conn_t *c, uint32_t *awaited) {
  *awaited = 0;
  if (c->phase == CW_PHASE_PREFACE) return c->in.cap;
  return c->phase == CW_PHASE_OPEN ? c->protocol->held(c, awaited) : 0;
}

void cw_budget_count(cw_conn_t *c) {
  CW_ASSERT_BATON(c->srv);
  uint32_t awaited;
  size_t now = held_by(c, &awaited);
  c->srv->held = c->srv->held - c->held + now;
  c->held = now;
}

bool cw_budget_is_exact(cw_conn_t *c) {
  uint32_t awaited;
  return c->held == held_by(c, &awaited);
}

/* How long the request has been coming, ms. */
static uint64_t age(cw_conn_t *c) {
  const cw_server_t *srv = c->srv;
  uint64_t began = c->timer.due - srv->timers.duration[c->timer.kind];
  uint32_t awaited;
  (void)held_by(c, &awaited);
  return uv_now(&srv->loop) - began + awaited;
}

/* Of those that hold something and whose timer is of this kind, the one that takes
 * longest, or `best`. */
static cw_conn_t *slowest(cw_server_t *srv, cw_timer_kind_t kind, cw_conn_t *best) {
  cw_list_t *queue = &srv->timers.queue[kind];
  int looked_at = 0;
  for (cw_list_t *n = queue->next; n != queue && looked_at < MOST_LOOKED_AT;
       n = n->next) {
    cw_conn_t *c = CW_CONTAINER(CW_CONTAINER(n, cw_timer_t, node), cw_conn_t, timer);
    if (!c->held) continue;
    looked_at++;
    if (!best || age(c) > age(best)) best = c;
  }
  return best;
}

cw_conn_t *cw_budget_victim(cw_server_t *srv, int *status) {
  CW_ASSERT_BATON(srv);
  if (srv->held <= srv->service.limits.buffer_memory) return NULL;
  cw_conn_t *c = slowest(srv, CW_TIMER_BODY, slowest(srv, CW_TIMER_HEAD, NULL));
  c = slowest(srv, CW_TIMER_GATHER, c);
  if (c) *status = age(c) > OUT_OF_STEP ? 408 : 503;
  return c;
}
