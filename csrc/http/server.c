/* SPDX-License-Identifier: MIT */
/* The loop: listeners, messages from running threads, timers, drain. */
#include "http/server_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/forked.h"
#include "base/log.h"
#include "http/account.h"
#include "http/parse.h"
#include "http/refusals.h"

enum {
  TIMER_GRAIN = 100,       /* ms */
  BODY_LOOKS = 6,          /* looks at a body in the longest pause that it may make, */
  BODY_WINDOW = 10 * 1000, /* ms: but at least one in this */
  GATHER = 1000,           /* ms that a chunked body's end is waited for */
  LINGER = 2 * 1000,       /* ms for the client to close */
  DRAIN = 500,             /* ms in which a request may be on its way already */
  CLOSE = 5 * 1000,        /* ms for a WebSocket's closing handshake, and its end */
};

/* ---- timers ------------------------------------------------------------- */

static void on_tick(uv_timer_t *timer);

static void end_turn(uv_timer_t *timer) {
  uv_stop(timer->loop);
}

void cw_server_schedule_tick(cw_server_t *srv) {
  CW_ASSERT_BATON(srv);
  uint64_t next = cw_timeqs_next(&srv->timers), now = uv_now(&srv->loop);
  srv->tick_due = next;
  if (next == UINT64_MAX) return;
  uint64_t wait = next > now ? next - now : 0;
  /* Late by up to a grain, so that timers that are near each other share a wake-up. */
  uv_timer_start(&srv->tick, on_tick, wait + TIMER_GRAIN, 0);
}

static void on_tick(uv_timer_t *timer) {
  cw_server_t *srv = timer->data;
  CW_TAG_CHECK(srv, CW_TAG_SERVER);
  cw_timer_t *t;
  cw_timer_kind_t kind;
  while ((t = cw_timeqs_expire(&srv->timers, uv_now(&srv->loop), &kind)) != NULL) {
    if (kind == CW_TIMER_REQUEST)
      cw_conn_on_deadline(CW_CONTAINER(t, cw_req_t, deadline));
    else
      cw_conn_on_timer(CW_CONTAINER(t, cw_conn_t, timer));
  }
  cw_server_schedule_tick(srv);
  end_turn(timer);
}

static void on_host_timer(uv_timer_t *timer) {
  struct cw_host_timer_slot *slot =
      CW_CONTAINER(timer, struct cw_host_timer_slot, timer);
  slot->fn(slot->data);
  end_turn(timer);
}

void cw_server_timer(cw_server_t *srv, cw_host_timer_t which, int64_t ms,
                     void (*fn)(void *), void *data) {
  CW_ASSERT_BATON(srv);
  struct cw_host_timer_slot *slot = &srv->host_timers[which];
  if (ms < 0) {
    uv_timer_stop(&slot->timer);
    return;
  }
  slot->fn = fn;
  slot->data = data;
  uv_update_time(&srv->loop);
  uv_timer_start(&slot->timer, on_host_timer, (uint64_t)ms, 0);
}

static void on_watched(uv_poll_t *poll, int status, int events) {
  struct cw_watch_slot *slot = CW_CONTAINER(poll, struct cw_watch_slot, poll);
  /* What went wrong, reading tells, too. */
  slot->fn(slot->data);
  uv_stop(poll->loop);
}

int cw_server_watch(cw_server_t *srv, int fd, void (*fn)(void *), void *data) {
  CW_ASSERT_BATON(srv);
  struct cw_watch_slot *slot = &srv->watches[srv->n_watches];
  assert(srv->n_watches < CW_WATCHES);
  int rc = uv_poll_init(&srv->loop, &slot->poll, fd);
  if (rc != 0) return rc;
  srv->n_watches++;
  slot->fn = fn;
  slot->data = data;
  slot->open = true;
  return uv_poll_start(&slot->poll, UV_READABLE, on_watched);
}

/* The slot of a descriptor that is watched, or NULL. */
static struct cw_watch_slot *slot_of(cw_server_t *srv, int fd) {
  CW_ASSERT_BATON(srv);
  uv_os_fd_t its;
  for (int i = 0; i < srv->n_watches; i++) {
    struct cw_watch_slot *slot = &srv->watches[i];
    if (slot->open && uv_fileno((uv_handle_t *)&slot->poll, &its) == 0 && its == fd)
      return slot;
  }
  return NULL;
}

void cw_server_unwatch(cw_server_t *srv, int fd) {
  struct cw_watch_slot *slot = slot_of(srv, fd);
  if (!slot) return;
  slot->open = false;
  uv_close((uv_handle_t *)&slot->poll, NULL);
}

void cw_server_pause_watch(cw_server_t *srv, int fd, bool pause) {
  struct cw_watch_slot *slot = slot_of(srv, fd);
  if (!slot) return;
  if (pause)
    uv_poll_stop(&slot->poll);
  else
    uv_poll_start(&slot->poll, UV_READABLE, on_watched);
}

/* ---- messages ----------------------------------------------------------- */

void cw_server_wake(cw_server_t *srv) {
  cw_posts_wake(&srv->service.posts);
}

void cw_server_nudge(cw_server_t *srv) {
  cw_posts_nudge(&srv->service.posts);
}

void cw_server_set_board(cw_server_t *srv, cw_board_t *board, int slot) {
  cw_account_set_board(&srv->service.account, board, slot);
}

void cw_server_reopen_logs(cw_server_t *srv) {
  cw_log_reopen();
  if (srv->service.account.access) cw_access_log_reopen(srv->service.account.access);
}

void cw_server_watch_board(cw_server_t *srv) {
  cw_account_watch(&srv->service.account);
}

static void note_turning(cw_server_t *srv, bool on) {
#ifndef NDEBUG
  atomic_store(&srv->turning, on ? (uintptr_t)pthread_self() : 0);
#endif
}

void cw_server_turn(cw_server_t *srv, bool wait) {
  CW_ASSERT_BATON(srv);
  note_turning(srv, true);
  atomic_store(&srv->service.posts.waiting, true);
  srv->gave_request = false;
  atomic_store_explicit(&srv->service.roused, false, memory_order_relaxed);
  cw_conn_take_posts(srv);
  if (CW_UNLIKELY(srv->service.account.timed)) cw_account_flush(&srv->service.account);
  /* The end of one request may have made the next one of its connection ready, and room
   * for a body may have let kept bytes rouse who waits for them. */
  wait = wait && !srv->gave_request &&
         !atomic_load_explicit(&srv->service.roused, memory_order_relaxed);
  uv_run(&srv->loop, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  atomic_store(&srv->service.posts.waiting, false);
  cw_conn_take_posts(srv);
  if (CW_UNLIKELY(srv->service.account.timed)) cw_account_flush(&srv->service.account);
  note_turning(srv, false);
}

/* ---- accepting ---------------------------------------------------------- */

void cw_server_made_room(cw_server_t *srv) {
  cw_accept_made_room(srv);
}

void cw_server_hold_accept(cw_server_t *srv, bool hold) {
  cw_accept_hold(srv, hold);
}

bool cw_server_has_waiting(const cw_server_t *srv) {
  return cw_accept_waits(srv);
}

int cw_server_listen(cw_server_t *srv, int backlog) {
  return cw_accept_listen(srv, backlog);
}

/* ---- life --------------------------------------------------------------- */

static void init_handles(cw_server_t *srv) {
  uv_timer_init(&srv->loop, &srv->tick);
  for (int i = 0; i < CW_HOST_TIMERS; i++)
    uv_timer_init(&srv->loop, &srv->host_timers[i].timer);
  srv->tick.data = srv;
}

static void close_loop(cw_server_t *srv) {
  cw_private_lock();
  cw_private_remove_locked(uv_backend_fd(&srv->loop));
  int rc = uv_loop_close(&srv->loop);
  cw_private_unlock();
  assert(rc == 0);
  (void)rc;
}

/* How often a body that is coming is looked at, ms. */
static uint64_t body_window(const cw_limits_t *l) {
  uint64_t often = l->body_pause ? (uint64_t)l->body_pause / BODY_LOOKS : BODY_WINDOW;
  return CW_MAX(CW_MIN(often, (uint64_t)BODY_WINDOW), (uint64_t)1);
}

CW_COLD cw_server_t *cw_server_new(const cw_protocol_t *protocol,
                                   const cw_listener_t *listeners, int n,
                                   const cw_limits_t *limits, const cw_host_t *host,
                                   const char **reason) {
  static char why[256]; /* one server is made at a time */
  int rc = UV_ENOMEM;
  cw_server_t *srv = cw_calloc(1, sizeof(*srv));
  if (!srv) goto fail;
  CW_TAG_SET(srv, CW_TAG_SERVER);
  srv->block = cw_block_take(&srv->service.blocks);
  if (!srv->block) goto free_srv;
  srv->service.limits = *limits;
  if (srv->service.limits.buffer_memory == 0)
    srv->service.limits.buffer_memory = SIZE_MAX;
  if (srv->service.limits.head == 0) srv->service.limits.head = CW_HEAD_USUAL;
  srv->service.host = *host;
  cw_list_init(&srv->conns);
  cw_list_init(&srv->service.pool);
  cw_ws_stock_init(&srv->service.ws_stock);
  const uint64_t durations[CW_TIMER_KINDS] = {
      [CW_TIMER_HEAD] = (uint64_t)limits->header,
      [CW_TIMER_GATHER] = GATHER,
      [CW_TIMER_IDLE] = (uint64_t)limits->idle,
      [CW_TIMER_BODY] = body_window(limits),
      [CW_TIMER_STALL] = (uint64_t)limits->send,
      [CW_TIMER_LINGER] = LINGER,
      [CW_TIMER_DRAIN] = DRAIN,
      [CW_TIMER_REQUEST] = (uint64_t)limits->request_timeout,
      [CW_TIMER_PING] = (uint64_t)limits->ws_ping_interval,
      [CW_TIMER_PONG] = (uint64_t)limits->ws_ping_timeout,
      [CW_TIMER_CLOSE] = CLOSE,
  };
  cw_timeqs_init(&srv->timers, durations);
  srv->tick_due = UINT64_MAX;
  cw_parse_init(&srv->parser);
  srv->protocol = protocol;
  rc = uv_loop_init(&srv->loop);
  if (rc != 0) goto free_srv;
  rc = cw_posts_init(&srv->service.posts, &srv->loop);
  if (rc != 0) goto close_loop;
  cw_private_add(uv_backend_fd(&srv->loop));
  init_handles(srv);
  bool counted = limits->metrics != NULL;
  for (int i = 0; i < n; i++) counted |= listeners[i].metrics != 0;
  srv->probed = limits->health || counted;
  /* Both, before either's failure counts: both have handles to close. */
  rc = cw_accept_init(srv, listeners, n);
  bool opened = cw_account_init(&srv->service.account, &srv->loop, &srv->service.limits,
                                counted, why, sizeof(why)) == 0;
  if (rc != 0 || !opened ||
      cw_schemes_parse(&srv->service.schemes, limits->secure_schemes, why,
                       sizeof(why)) != 0)
    goto close_handles;
  return srv;
close_handles:
  cw_server_free(srv);
  *reason = rc ? strerror(-rc) : why;
  return NULL;
close_loop:
  close_loop(srv);
free_srv:
  free(srv->block);
  free(srv);
fail:
  *reason = strerror(-rc);
  return NULL;
}

void cw_server_drain(cw_server_t *srv) {
  CW_ASSERT_BATON(srv);
  if (atomic_exchange(&srv->service.draining, true)) return;
  cw_accept_drain(srv);
  for (cw_list_t *n = srv->conns.next, *next; n != &srv->conns; n = next) {
    next = n->next;
    cw_conn_on_drain(CW_CONTAINER(n, cw_conn_t, all));
  }
  cw_server_schedule_tick(srv);
}

unsigned cw_server_connections(const cw_server_t *srv) {
  return srv->n_conns;
}

CW_COLD void cw_server_free(cw_server_t *srv) {
  CW_ASSERT_BATON(srv);
  cw_conn_take_posts(srv); /* what threads said before they ended */
  while (!cw_list_empty(&srv->conns))
    cw_conn_abort(CW_CONTAINER(srv->conns.next, cw_conn_t, all));
  cw_refusals_end(srv);
  cw_accept_close(srv);
  for (int i = 0; i < srv->n_watches; i++)
    if (srv->watches[i].open) uv_close((uv_handle_t *)&srv->watches[i].poll, NULL);
  cw_posts_close(&srv->service.posts);
  uv_close((uv_handle_t *)&srv->tick, NULL);
  for (int i = 0; i < CW_HOST_TIMERS; i++)
    uv_close((uv_handle_t *)&srv->host_timers[i].timer, NULL);
  cw_account_close(&srv->service.account);
  uv_run(&srv->loop, UV_RUN_DEFAULT);
  close_loop(srv);
  cw_req_empty_pool(&srv->service);
  cw_blocks_free(&srv->service.blocks);
  cw_ws_stock_fini(&srv->service.ws_stock);
  free(srv->block);
  cw_account_fini(&srv->service.account);
  cw_posts_fini(&srv->service.posts);
  CW_TAG_SET(srv, 0);
  free(srv);
}
