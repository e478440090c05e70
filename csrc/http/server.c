/* SPDX-License-Identifier: MIT */
/* The loop: listeners, messages from running threads, timers, drain. */
#include "http/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/forked.h"
#include "base/log.h"
#include "http/account.h"
#include "http/evict.h"
#include "http/exchange.h"
#include "http/parse.h"
#include "http/refusals.h"

enum {
  ACCEPT_BATCH = 16,       /* connections of one event, so that requests go on */
  ACCEPT_RETRY = 100,      /* ms until accepting again when out of descriptors */
  TIMER_GRAIN = 100,       /* ms */
  BODY_LOOKS = 6,          /* looks at a body in the longest pause that it may make, */
  BODY_WINDOW = 10 * 1000, /* ms: but at least one in this */
  GATHER = 1000,           /* ms that a chunked body's end is waited for */
  LINGER = 2 * 1000,       /* ms for the client to close */
  DRAIN = 500,             /* ms in which a request may be on its way already */
};

/* ---- timers ------------------------------------------------------------- */

static void on_tick(uv_timer_t *timer);

void cw_server_end_turn(uv_timer_t *timer) {
  uv_stop(timer->loop);
}

void cw_server_schedule_tick(cw_server_t *srv) {
  uint64_t next = cw_timeqs_next(&srv->timers), now = uv_now(&srv->loop);
  srv->tick_due = next;
  if (next == UINT64_MAX) return;
  uint64_t wait = next > now ? next - now : 0;
  /* Late by up to a grain, so that timers that are near each other share a wake-up. */
  uv_timer_start(&srv->tick, on_tick, wait + TIMER_GRAIN, 0);
}

static void on_tick(uv_timer_t *timer) {
  cw_server_t *srv = timer->data;
  cw_timer_t *t;
  cw_timer_kind_t kind;
  while ((t = cw_timeqs_expire(&srv->timers, uv_now(&srv->loop), &kind)) != NULL) {
    if (kind == CW_TIMER_REQUEST)
      cw_exchange_on_deadline(CW_CONTAINER(t, cw_req_t, deadline)->conn);
    else
      cw_conn_on_timer(CW_CONTAINER(t, cw_conn_t, timer));
  }
  cw_server_schedule_tick(srv);
  cw_server_end_turn(timer);
}

static void on_host_timer(uv_timer_t *timer) {
  struct cw_host_timer_slot *slot =
      CW_CONTAINER(timer, struct cw_host_timer_slot, timer);
  slot->fn(slot->data);
  cw_server_end_turn(timer);
}

void cw_server_timer(cw_server_t *srv, cw_host_timer_t which, int64_t ms,
                     void (*fn)(void *), void *data) {
  struct cw_host_timer_slot *slot = &srv->host_timers[which];
  if (ms < 0) {
    uv_timer_stop(&slot->timer);
    return;
  }
  slot->fn = fn;
  slot->data = data;
  uv_timer_start(&slot->timer, on_host_timer, (uint64_t)ms, 0);
}

static void on_watched(uv_poll_t *poll, int status, int events) {
  struct cw_watch_slot *slot = CW_CONTAINER(poll, struct cw_watch_slot, poll);
  (void)status; /* reading tells, too */
  (void)events;
  slot->fn(slot->data);
  uv_stop(poll->loop);
}

int cw_server_watch(cw_server_t *srv, int fd, void (*fn)(void *), void *data) {
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

void cw_server_unwatch(cw_server_t *srv, int fd) {
  uv_os_fd_t its;
  for (int i = 0; i < srv->n_watches; i++) {
    struct cw_watch_slot *slot = &srv->watches[i];
    if (!slot->open || uv_fileno((uv_handle_t *)&slot->poll, &its) != 0 || its != fd)
      continue;
    slot->open = false;
    uv_close((uv_handle_t *)&slot->poll, NULL);
  }
}

/* ---- messages ----------------------------------------------------------- */

bool cw_server_take_posts(cw_server_t *srv) {
  bool any = false;
  int what;
  for (cw_post_t *post; (post = cw_posts_take(&srv->service.posts, &what)) != NULL;
       any = true)
    cw_exchange_on_post(CW_CONTAINER(post, cw_req_t, post)->conn, what);
  return any;
}

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

void cw_server_turn(cw_server_t *srv, bool wait) {
  atomic_store(&srv->service.posts.waiting, true);
  srv->gave_request = false;
  cw_server_take_posts(srv);
  if (CW_UNLIKELY(srv->service.account.timed)) cw_account_flush(&srv->service.account);
  /* The end of one request may have made the next one of its connection ready. */
  uv_run(&srv->loop, wait && !srv->gave_request ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  atomic_store(&srv->service.posts.waiting, false);
  cw_server_take_posts(srv);
  if (CW_UNLIKELY(srv->service.account.timed)) cw_account_flush(&srv->service.account);
}

/* ---- accepting ---------------------------------------------------------- */

static void poll_acceptors(cw_server_t *srv, bool on);

/* Accepts again, unless there is another reason not to. */
static void resume_accepting(cw_server_t *srv) {
  if (!srv->accept_paused && !srv->accept_full && !srv->accept_held &&
      !srv->service.draining)
    poll_acceptors(srv, true);
}

static void on_accept_retry(uv_timer_t *timer);

/* Tries again in a moment: nothing says when there are descriptors, or when somebody
 * has been silent for long enough. */
static void retry_accepting(cw_server_t *srv) {
  uv_timer_start(&srv->accept_retry, on_accept_retry, ACCEPT_RETRY, 0);
}

/* At the limit every end of a request may make room. */
static void set_full(cw_server_t *srv, bool full) {
  srv->accept_full = full;
  atomic_store(&srv->service.posts.eager, full);
}

static bool at_limit(const cw_server_t *srv) {
  return srv->service.limits.connections &&
         srv->n_conns >= srv->service.limits.connections;
}

void cw_server_made_room(cw_server_t *srv) {
  if (CW_UNLIKELY(srv->n_spare < srv->want_spare)) cw_spare_fill(srv);
  if (!srv->accept_full) return;
  set_full(srv, false);
  resume_accepting(srv);
}

void cw_server_hold_accept(cw_server_t *srv, bool hold) {
  if (srv->accept_held == hold) return;
  srv->accept_held = hold;
  if (hold)
    poll_acceptors(srv, false);
  else
    resume_accepting(srv);
}

/* No descriptor is left, or no memory. Returns whether to try at once again. */
static bool find_descriptor(struct cw_acceptor *a) {
  cw_server_t *srv = a->srv;
  int error = errno;
  bool soon;
  cw_conn_t *victim = cw_evict_candidate(srv, &soon);
  if (victim) {
    cw_exchange_evict(victim);
    return true;
  }
  if ((a->info->metrics || srv->exceeding) && cw_spare_take(srv))
    return srv->on_spare = true;
  cw_log(CW_LOG_WARNING, "cannot accept: %s; trying again in %d ms", strerror(error),
         ACCEPT_RETRY);
  srv->accept_paused = true;
  poll_acceptors(srv, false);
  retry_accepting(srv);
  return false;
}

/* Accepts up to `most` connections. Returns false when none is left. */
static bool accept_some(struct cw_acceptor *a, int most) {
  cw_server_t *srv = a->srv;
  for (int i = 0; i < most; i++) {
    bool limited = !a->info->metrics && at_limit(srv), soon = false;
    cw_conn_t *victim = limited ? cw_evict_for_one(srv, &soon) : NULL;
    bool exceed = srv->exceeding && cw_evict_may_exceed(srv);
    if (limited && !victim && !exceed) {
      /* Until one is closed or becomes idle, the rest waits in the backlog. */
      set_full(srv, true);
      poll_acceptors(srv, false);
      if (soon || srv->service.limits.health) retry_accepting(srv);
      return false;
    }
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    peer.ss_family = AF_UNSPEC;
    cw_private_lock();
    int fd = accept4(a->info->fd, (struct sockaddr *)&peer, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    cw_private_add_locked(fd);
    cw_private_unlock();
    if (fd >= 0) {
      if (victim) cw_exchange_evict(victim);
      srv->on_spare |= limited && !victim;
      cw_conn_accept(srv, a->info, fd, &peer);
      continue;
    }
    srv->on_spare = false;
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    bool short_of =
        errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
    if (!short_of || !find_descriptor(a)) return false;
  }
  return true;
}

static void on_accept_retry(uv_timer_t *timer) {
  cw_server_t *srv = timer->data;
  srv->accept_paused = false;
  set_full(srv, false);
  /* Whoever still waits would have been taken by a worker that has room. There may be a
   * probe among them. */
  srv->exceeding = srv->service.limits.health && !srv->accept_held;
  for (int i = 0; srv->exceeding && i < srv->n_acceptors; i++)
    if (srv->acceptors[i].open) accept_some(&srv->acceptors[i], CW_SPARE);
  srv->exceeding = false;
  resume_accepting(srv);
  cw_server_end_turn(timer);
}

bool cw_peer_address(const struct sockaddr_storage *peer, cw_addr_t *addr,
                     char text[46], char port[6]) {
  unsigned number;
  if (peer->ss_family == AF_INET) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const struct sockaddr_in *in = (const void *)peer;
    memcpy(addr->b, mapped, sizeof(mapped));
    memcpy(addr->b + 12, &in->sin_addr, 4);
    number = ntohs(in->sin_port);
  } else if (peer->ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const void *)peer;
    memcpy(addr->b, &in6->sin6_addr, 16);
    number = ntohs(in6->sin6_port);
  } else {
    return false;
  }
  /* A v4 client on a dual-stack socket is known by its v4 address. */
  bool v4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)addr->b);
  inet_ntop(v4 ? AF_INET : AF_INET6, addr->b + (v4 ? 12 : 0), text, 46);
  snprintf(port, 6, "%hu", (unsigned short)number);
  return true;
}

static void on_acceptable(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  accept_some(CW_CONTAINER(poll, struct cw_acceptor, poll), ACCEPT_BATCH);
}

static void poll_acceptors(cw_server_t *srv, bool on) {
  for (int i = 0; i < srv->n_acceptors; i++) {
    struct cw_acceptor *a = &srv->acceptors[i];
    if (!a->open || a->polled == on) continue;
    /* A scrape matters most when the service is full. */
    if (!on && a->info->metrics && !srv->accept_paused) continue;
    a->polled = on;
    int rc = on ? uv_poll_start(&a->poll, UV_READABLE, on_acceptable)
                : uv_poll_stop(&a->poll);
    assert(rc == 0);
    (void)rc;
  }
}

int cw_server_listen(cw_server_t *srv, int backlog) {
  for (int i = 0; i < srv->n_acceptors; i++) {
    const cw_listener_t *l = srv->acceptors[i].info;
    if (listen(l->fd, backlog) == 0) continue;
    int rc = -errno;
    cw_log(CW_LOG_ERROR, "cannot listen at %s%s%s: %s", l->host, l->is_unix ? "" : ":",
           l->port, strerror(-rc));
    return rc;
  }
  bool scraped = false;
  for (int i = 0; i < srv->n_acceptors; i++)
    scraped |= srv->acceptors[i].info->metrics != 0;
  srv->want_spare = scraped || srv->service.limits.health ? CW_SPARE : 0;
  cw_spare_fill(srv);
  poll_acceptors(srv, true);
  return 0;
}

/* ---- life --------------------------------------------------------------- */

static void init_handles(cw_server_t *srv) {
  uv_timer_init(&srv->loop, &srv->tick);
  for (int i = 0; i < CW_HOST_TIMERS; i++)
    uv_timer_init(&srv->loop, &srv->host_timers[i].timer);
  uv_timer_init(&srv->loop, &srv->accept_retry);
  srv->tick.data = srv->accept_retry.data = srv;
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

cw_server_t *cw_server_new(const cw_listener_t *listeners, int n,
                           const cw_limits_t *limits, const cw_host_t *host,
                           const char **reason) {
  static char why[256]; /* one server is made at a time */
  int rc = UV_ENOMEM;
  cw_server_t *srv = cw_calloc(1, sizeof(*srv));
  if (!srv) goto fail;
  srv->service.limits = *limits;
  if (srv->service.limits.buffer_memory == 0)
    srv->service.limits.buffer_memory = SIZE_MAX;
  if (srv->service.limits.head == 0) srv->service.limits.head = CW_HEAD_USUAL;
  srv->service.host = *host;
  cw_list_init(&srv->conns);
  cw_list_init(&srv->service.pool);
  const uint64_t durations[CW_TIMER_KINDS] = {
      [CW_TIMER_HEAD] = (uint64_t)limits->header,
      [CW_TIMER_GATHER] = GATHER,
      [CW_TIMER_IDLE] = (uint64_t)limits->keepalive,
      [CW_TIMER_BODY] = body_window(limits),
      [CW_TIMER_STALL] = (uint64_t)limits->send,
      [CW_TIMER_LINGER] = LINGER,
      [CW_TIMER_DRAIN] = DRAIN,
      [CW_TIMER_REQUEST] = (uint64_t)limits->request_timeout,
  };
  cw_timeqs_init(&srv->timers, durations);
  srv->tick_due = UINT64_MAX;
  cw_parse_init(&srv->parser);
  rc = uv_loop_init(&srv->loop);
  if (rc != 0) goto free_srv;
  rc = cw_posts_init(&srv->service.posts, &srv->loop);
  if (rc != 0) goto close_loop;
  cw_private_add(uv_backend_fd(&srv->loop));
  init_handles(srv);
  bool counted = limits->metrics != NULL;
  for (int i = 0; i < n; i++) counted |= listeners[i].metrics != 0;
  srv->own_paths = limits->health || counted;
  if (cw_account_init(&srv->service.account, &srv->loop, &srv->service.limits, counted,
                      why, sizeof(why)) != 0 ||
      cw_schemes_parse(&srv->service.schemes, limits->secure_schemes, why,
                       sizeof(why)) != 0)
    goto close_handles;
  for (int i = 0; i < n; i++) {
    struct cw_acceptor *a = &srv->acceptors[i];
    a->srv = srv;
    a->info = &listeners[i];
    rc = uv_poll_init_socket(&srv->loop, &a->poll, listeners[i].fd);
    if (rc != 0) goto close_handles;
    a->open = true;
    srv->n_acceptors = i + 1;
  }
  return srv;
close_handles:
  cw_server_free(srv);
  *reason = rc ? uv_strerror(rc) : why;
  return NULL;
close_loop:
  close_loop(srv);
free_srv:
  free(srv);
fail:
  *reason = uv_strerror(rc);
  return NULL;
}

void cw_server_drain(cw_server_t *srv) {
  if (atomic_exchange(&srv->service.draining, true)) return;
  for (int i = 0; i < srv->n_acceptors; i++) {
    struct cw_acceptor *a = &srv->acceptors[i];
    if (!a->open) continue;
    /* Who is in the queue has been told "connected": serve, don't reset. */
    while (!srv->accept_paused && !srv->accept_full && accept_some(a, ACCEPT_BATCH)) {
    }
    a->open = false;
    uv_close((uv_handle_t *)&a->poll, NULL);
    cw_private_close(a->info->fd);
  }
  for (cw_list_t *n = srv->conns.next, *next; n != &srv->conns; n = next) {
    next = n->next;
    cw_conn_on_drain(CW_CONTAINER(n, cw_conn_t, all));
  }
  cw_server_schedule_tick(srv);
}

unsigned cw_server_connections(const cw_server_t *srv) {
  return srv->n_conns;
}

void cw_server_free(cw_server_t *srv) {
  while (!cw_list_empty(&srv->conns))
    cw_conn_abort(CW_CONTAINER(srv->conns.next, cw_conn_t, all));
  cw_refusals_end(srv);
  cw_spare_free(srv);
  for (int i = 0; i < srv->n_acceptors; i++)
    if (srv->acceptors[i].open) uv_close((uv_handle_t *)&srv->acceptors[i].poll, NULL);
  for (int i = 0; i < srv->n_watches; i++)
    if (srv->watches[i].open) uv_close((uv_handle_t *)&srv->watches[i].poll, NULL);
  cw_posts_close(&srv->service.posts);
  uv_close((uv_handle_t *)&srv->tick, NULL);
  for (int i = 0; i < CW_HOST_TIMERS; i++)
    uv_close((uv_handle_t *)&srv->host_timers[i].timer, NULL);
  uv_close((uv_handle_t *)&srv->accept_retry, NULL);
  cw_account_close(&srv->service.account);
  uv_run(&srv->loop, UV_RUN_DEFAULT);
  close_loop(srv);
  cw_req_empty_pool(&srv->service);
  cw_account_fini(&srv->service.account);
  cw_posts_fini(&srv->service.posts);
  free(srv);
}
