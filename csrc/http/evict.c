/* SPDX-License-Identifier: MIT */
/* Room for new connections. */
#include "http/evict.h"

#include "http/server_internal.h"

enum {
  /* ms. Whoever was accepted has sent its request by now, or the network is slow: */
  SILENT_LEAST = 1000,
  SLOW_LEAST = 2000,   /* the same for a whole head, */
  LINGER_LEAST = 500,  /* and for reading our goodbye. */
  MOST_LOOKED_AT = 64, /* connections of a queue */
};

/* How long a connection's timer has run, ms. */
static uint64_t age(const cw_server_t *srv, const cw_timer_t *t, cw_timer_kind_t kind) {
  uint64_t began = t->due - srv->timers.duration[kind], now = uv_now(&srv->loop);
  return now > began ? now - began : 0;
}

static cw_conn_t *conn_of(cw_timer_t *t) {
  return CW_CONTAINER(t, cw_conn_t, timer);
}

/* Of those that are about their head, oldest first: the first silent one, else the one
 * that takes longest. */
static cw_conn_t *without_a_head(cw_server_t *srv, bool *soon) {
  cw_list_t *queue = &srv->timers.queue[CW_TIMER_HEAD];
  cw_conn_t *slow = NULL;
  int looked_at = 0;
  for (cw_list_t *n = queue->next; n != queue && looked_at < MOST_LOOKED_AT;
       n = n->next, looked_at++) {
    cw_timer_t *t = CW_CONTAINER(n, cw_timer_t, node);
    cw_conn_t *c = conn_of(t);
    uint64_t ms = age(srv, t, CW_TIMER_HEAD);
    *soon = true;
    if (ms < SILENT_LEAST) break;
    if (cw_conn_has_unread(c)) continue;
    if (!cw_buf_pending(&c->in)) return c;
    if (!slow && ms >= SLOW_LEAST) slow = c;
  }
  return slow;
}

cw_conn_t *cw_evict_candidate(cw_server_t *srv, bool *soon) {
  CW_ASSERT_BATON(srv);
  cw_timer_t *t = cw_timeqs_oldest(&srv->timers, CW_TIMER_LINGER);
  *soon = t != NULL;
  if (t && age(srv, t, CW_TIMER_LINGER) >= LINGER_LEAST) return conn_of(t);
  t = cw_timeqs_oldest(&srv->timers, CW_TIMER_IDLE);
  return t ? conn_of(t) : without_a_head(srv, soon);
}

cw_conn_t *cw_evict_for_one(cw_server_t *srv, bool *soon) {
  CW_ASSERT_BATON(srv);
  cw_conn_t *victim = cw_evict_candidate(srv, soon);
  while (victim && srv->n_conns > srv->service.limits.connections) {
    cw_conn_evict(victim);
    victim = cw_evict_candidate(srv, soon);
  }
  return srv->n_conns > srv->service.limits.connections ? NULL : victim;
}

/* ---- places that are kept ------------------------------------------------- */

bool cw_evict_may_exceed(const cw_server_t *srv) {
  return srv->service.limits.health &&
         srv->n_conns < srv->service.limits.connections + CW_SPARE;
}

bool cw_evict_is_full(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  const unsigned limit = srv->service.limits.connections;
  bool soon;
  while ((limit && srv->n_conns > limit) ||
         srv->acceptors.n_spare < srv->acceptors.want_spare) {
    cw_conn_t *victim = cw_evict_candidate(srv, &soon);
    if (!victim || victim == c) return true;
    cw_conn_evict(victim);
  }
  return false;
}
