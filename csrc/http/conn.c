/* SPDX-License-Identifier: MIT */
/* A connection's life: its socket, phases, clock and end. Everything here belongs to
 * the baton holder.
 *
 * Callback names: on_* come from libuv. A connection may end inside any of them; its
 * memory stays until libuv's close callback, so the phase is looked at after. */
#include "http/conn.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/forked.h"
#include "base/log.h"
#include "http/budget.h"
#include "http/out.h"
#include "http/server_internal.h"

static void on_event(uv_poll_t *poll, int status, int events);

#define TO(phase) (1u << CW_PHASE_##phase)

/* Where each phase may go. Nothing leads out of CLOSED. */
static const unsigned moves[CW_PHASES] = {
    [CW_PHASE_PREFACE] = TO(OPEN) | TO(CLOSED),
    [CW_PHASE_OPEN] = TO(LINGER) | TO(CLOSED),
    [CW_PHASE_LINGER] = TO(CLOSED),
};

/* The only way from one phase to another. */
static void set_phase(cw_conn_t *c, cw_phase_t phase) {
  bool legal = moves[c->phase] & 1u << phase;
  assert(legal);
  (void)legal;
  c->phase = (uint8_t)phase;
}

static bool wants_read(cw_conn_t *c) {
  if (c->eof) return false;
  return c->phase != CW_PHASE_OPEN || c->protocol->wants_read(c);
}

/* Ends every event: what must hold of a connection then, asserted in debug builds. */
static void check(cw_conn_t *c) {
#ifdef NDEBUG
  (void)c;
#else
  assert(cw_budget_is_exact(c));
  if (c->phase == CW_PHASE_CLOSED) {
    assert(!c->want_write && cw_list_empty(&c->timer.node));
    return;
  }
  /* Whoever is polled for writing may not be so for ever. */
  assert(!c->want_write || cw_timer_runs(&c->timer, CW_TIMER_STALL) ||
         cw_timer_runs(&c->timer, CW_TIMER_CLOSE));
  assert(!(c->events & UV_WRITABLE) == !c->want_write);
  /* A running thread may be about to post that it has room again. */
  assert(c->running || (!(c->events & UV_READABLE) || c->pausing) == !wants_read(c));
  if (c->phase == CW_PHASE_OPEN) c->protocol->check(c);
#endif
}

void cw_conn_start_timer(cw_conn_t *c, cw_timer_kind_t kind) {
  CW_ASSERT_BATON(c->srv);
  cw_timer_start(&c->srv->timers, &c->timer, kind, uv_now(&c->srv->loop));
  if (c->timer.due < c->srv->tick_due) cw_server_schedule_tick(c->srv);
}

void cw_conn_start_window(cw_conn_t *c, cw_timer_kind_t kind) {
  c->moved = 0;
  cw_conn_start_timer(c, kind);
}

bool cw_conn_kept_pace(const cw_conn_t *c) {
  const cw_server_t *srv = c->srv;
  uint64_t least =
      (uint64_t)srv->service.limits.rate * srv->timers.duration[CW_TIMER_STALL] / 1000;
  return c->moved > 0 && c->moved >= least;
}

static void poll_for(cw_conn_t *c, int events) {
  c->events = (uint8_t)events;
  /* Both only fail for a closing handle. */
  int rc = events ? uv_poll_start(&c->poll, events, on_event) : uv_poll_stop(&c->poll);
  assert(rc == 0);
  (void)rc;
}

void cw_conn_update_poll(cw_conn_t *c) {
  CW_ASSERT_BATON(c->srv);
  if (c->phase == CW_PHASE_CLOSED) return;
  bool reads = wants_read(c);
  int events = (reads ? UV_READABLE : 0) | (c->want_write ? UV_WRITABLE : 0);
  /* Most pauses are over before the client's next bytes: those end the polling. */
  c->pausing = !reads && !c->eof && (c->events & UV_READABLE);
  if (c->pausing) events |= UV_READABLE;
  if (events != c->events) poll_for(c, events);
}

/* ---- the end ------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle) {
  cw_conn_t *c = CW_CONTAINER(handle, cw_conn_t, poll);
  CW_TAG_CHECK(c, CW_TAG_CONN);
  CW_TAG_SET(c, 0);
  cw_buf_free(&c->in);
  free(c);
}

static const struct {
  cw_log_level_t level;
  const char *text;
} ends[CW_ENDS] = {
    [CW_END_DONE] = {CW_LOG_DEBUG, "the response is sent"},
    [CW_END_CLIENT] = {CW_LOG_DEBUG, "the client closed it"},
    [CW_END_SOCKET] = {CW_LOG_DEBUG, "the client is gone"},
    [CW_END_IDLE] = {CW_LOG_DEBUG, "idle"},
    [CW_END_EVICTED] = {CW_LOG_DEBUG, "others need its place"},
    [CW_END_DRAIN] = {CW_LOG_DEBUG, "the worker stops"},
    [CW_END_ABORTED] = {CW_LOG_DEBUG, "the worker has stopped"},
    [CW_END_REFUSED] = {CW_LOG_DEBUG, "its request was refused"},
    [CW_END_SILENT] = {CW_LOG_DEBUG, "no request came"},
    [CW_END_SLOW_BODY] = {CW_LOG_DEBUG, "the request's body came too slowly"},
    [CW_END_BAD_BODY] = {CW_LOG_DEBUG, "the request's body cannot be read"},
    [CW_END_STALLED] = {CW_LOG_INFO, "the client does not read its response"},
    [CW_END_FAILED] = {CW_LOG_DEBUG, "the response cannot be completed"},
    [CW_END_DEADLINE] = {CW_LOG_DEBUG, "the request took too long"},
    [CW_END_TAKEN] = {CW_LOG_DEBUG, "the app has taken it over"},
    [CW_END_WS_CLOSED] = {CW_LOG_DEBUG, "the WebSocket is closed"},
    [CW_END_WS_BROKEN] = {CW_LOG_DEBUG, "the client broke WebSocket's rules"},
    [CW_END_WS_SILENT] = {CW_LOG_INFO, "the WebSocket's client does not answer pings"},
    [CW_END_WS_MUTE] = {CW_LOG_DEBUG, "the WebSocket's client did not answer a close"},
    [CW_END_NO_MEMORY] = {CW_LOG_ERROR, "out of memory"},
    [CW_END_BAD_PROXY] = {CW_LOG_WARNING, "bad PROXY header"},
    [CW_END_NO_PROXY] = {CW_LOG_WARNING, "not in --proxy-allow-from"},
};

void cw_conn_close(cw_conn_t *c, cw_end_t why) {
  CW_ASSERT_BATON(c->srv);
  if (c->phase == CW_PHASE_CLOSED) return;
  assert(!c->running);
  if (c->why != CW_END_NONE) why = (cw_end_t)c->why;
  cw_log(ends[why].level, "%s:%s: closed: %s", c->peer_addr[0] ? c->peer_addr : "unix",
         c->peer_port, ends[why].text);
  set_phase(c, CW_PHASE_CLOSED);
  c->collecting = false;
  cw_budget_note(c);
  cw_timer_stop(&c->timer);
  c->want_write = false;
  cw_list_remove(&c->all);
  c->srv->n_conns--;
  cw_account_connections(&c->srv->service.account, c->srv->n_conns);
  c->protocol->end(c);
  free(c->proxy);
  c->proxy = NULL;
  uv_close((uv_handle_t *)&c->poll, on_closed);
  /* The end of the connection is that of this process's part of it, whoever else holds
   * a copy of the socket; but after a reset no FIN may come first. */
  if (!c->no_fin) shutdown(c->fd, SHUT_RDWR);
  cw_private_close(c->fd);
  cw_server_made_room(c->srv);
}

void cw_conn_reset(cw_conn_t *c, cw_end_t why) {
  struct linger hard = {.l_onoff = 1, .l_linger = 0};
  c->no_fin = true;
  (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  cw_conn_close(c, why);
}

void cw_conn_linger(cw_conn_t *c, cw_end_t why) {
  CW_ASSERT_BATON(c->srv);
  char byte;
  /* While draining nobody waits for clients that just keep their side open. */
  bool quiet = c->srv->service.draining &&
               recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  if (c->eof || quiet || shutdown(c->fd, SHUT_WR) != 0) {
    cw_conn_close(c, why);
    return;
  }
  assert(!c->running);
  c->why = (uint8_t)why;
  set_phase(c, CW_PHASE_LINGER);
  c->protocol->end(c);
  cw_buf_free(&c->in);
  c->want_write = c->collecting = false;
  cw_budget_note(c);
  cw_conn_start_timer(c, CW_TIMER_LINGER);
  cw_conn_update_poll(c);
}

void cw_conn_lose(cw_conn_t *c, cw_end_t why) {
  CW_ASSERT_BATON(c->srv);
  if (!c->running) {
    cw_conn_close(c, why);
    return;
  }
  c->why = (uint8_t)why;
  c->eof = true;
  c->want_write = false;
  cw_timer_stop(&c->timer);
  c->protocol->lose(c);
  cw_budget_note(c);
  cw_conn_update_poll(c);
}

/* ---- input --------------------------------------------------------------- */

/* Reads the PROXY header in front of everything. Returns the bytes used, 0 where more
 * are needed. */
static size_t read_preface(cw_conn_t *c, const char *p, size_t n) {
  cw_proxy_info_t info;
  ssize_t len = cw_proxy_header_parse(p, n, c->srv->service.limits.proxy_mode, &info);
  if (len == CW_PROXY_BAD) {
    /* Whoever this is, it does not speak what it should: nothing to answer. */
    cw_conn_close(c, CW_END_BAD_PROXY);
    return 0;
  }
  if (len > 0 && info.family[0]) {
    c->proxy = cw_malloc(sizeof(info));
    if (!c->proxy) {
      cw_conn_close(c, CW_END_NO_MEMORY);
      return 0;
    }
    *c->proxy = info;
  }
  if (len != 0) set_phase(c, CW_PHASE_OPEN);
  return len > 0 ? (size_t)len : 0;
}

/* Uses as many bytes as can be used now. */
static size_t consume(cw_conn_t *c, const char *p, size_t n) {
  size_t used = 0;
  if (CW_UNLIKELY(c->phase == CW_PHASE_PREFACE) && n) used = read_preface(c, p, n);
  if (c->phase == CW_PHASE_OPEN && used < n)
    used += c->protocol->consume(c, p + used, n - used);
  return used;
}

void cw_conn_feed(cw_conn_t *c, const char *p, size_t n) {
  CW_ASSERT_BATON(c->srv);
  bool kept = cw_buf_pending(&c->in) > 0;
  if (kept) {
    if (cw_buf_append(&c->in, p, n) != 0) {
      cw_conn_lose(c, CW_END_NO_MEMORY);
      return;
    }
    p = c->in.p + c->in.off;
    n = cw_buf_pending(&c->in);
  }
  size_t used = consume(c, p, n);
  if (c->phase == CW_PHASE_CLOSED) return;
  if (c->phase == CW_PHASE_LINGER) {
    cw_buf_free(&c->in);
  } else if (kept) {
    cw_buf_consume(&c->in, used);
    if (!cw_buf_pending(&c->in)) cw_buf_free(&c->in);
  } else if (cw_buf_append(&c->in, p + used, n - used) != 0) {
    cw_conn_lose(c, CW_END_NO_MEMORY);
    return;
  }
  cw_budget_note(c);
  cw_conn_update_poll(c);
}

bool cw_conn_has_unread(const cw_conn_t *c) {
  char byte;
  return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void on_readable(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  ssize_t n = recv(c->fd, srv->block, CW_READ_SIZE, MSG_DONTWAIT);
  if (n > 0) {
    cw_conn_feed(c, srv->block, (size_t)n);
  } else if (n == 0) {
    c->eof = true;
    if (c->phase == CW_PHASE_OPEN)
      c->protocol->on_eof(c);
    else
      cw_conn_close(c, CW_END_CLIENT);
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    cw_conn_lose(c, CW_END_SOCKET);
  }
}

static void stop_reading(cw_conn_t *c) {
  c->pausing = false;
  poll_for(c, c->events & ~UV_READABLE);
}

/* Refuses those that take longest until the budget is kept. */
static void keep_budget(cw_server_t *srv) {
  int status;
  for (cw_conn_t *c; (c = cw_budget_victim(srv, &status)) != NULL; check(c))
    if (c->phase == CW_PHASE_OPEN)
      c->protocol->shed(c, status);
    else
      cw_conn_close(c, CW_END_REFUSED);
}

/* ---- events ------------------------------------------------------------- */

static void on_event(uv_poll_t *poll, int status, int events) {
  cw_conn_t *c = CW_CONTAINER(poll, cw_conn_t, poll);
  CW_TAG_CHECK(c, CW_TAG_CONN);
  if (status < 0) {
    /* libuv has stopped polling. */
    c->events = 0;
    cw_conn_lose(c, CW_END_SOCKET);
  }
  /* Its thread may have ended the request since: then these bytes are the next one, or
   * this was the last one of the connection. */
  if (c->running) cw_conn_take_posts(c->srv);
  if ((events & UV_WRITABLE) && c->want_write) c->protocol->on_writable(c);
  if ((events & UV_READABLE) && c->phase != CW_PHASE_CLOSED &&
      (c->events & UV_READABLE)) {
    if (c->pausing)
      stop_reading(c);
    else
      on_readable(c);
  }
  if (CW_UNLIKELY(c->srv->held > c->srv->service.limits.buffer_memory))
    keep_budget(c->srv);
  check(c);
}

void cw_conn_on_timer(cw_conn_t *c) {
  CW_TAG_CHECK(c, CW_TAG_CONN);
  CW_ASSERT_BATON(c->srv);
  if (c->phase == CW_PHASE_OPEN)
    c->protocol->on_timer(c);
  else
    cw_conn_close(c, CW_END_SILENT);
  /* It may run now: what it holds is not that of a request that is still coming. */
  cw_budget_note(c);
  check(c);
}

void cw_conn_on_drain(cw_conn_t *c) {
  CW_TAG_CHECK(c, CW_TAG_CONN);
  CW_ASSERT_BATON(c->srv);
  if (c->phase == CW_PHASE_OPEN)
    c->protocol->on_drain(c);
  else if (c->phase == CW_PHASE_PREFACE && !cw_buf_pending(&c->in))
    cw_conn_start_timer(c, CW_TIMER_LINGER); /* accepted moments ago */
  check(c);
}

void cw_conn_on_deadline(cw_req_t *req) {
  CW_TAG_CHECK(req, CW_TAG_REQ);
  cw_conn_t *c = req->conn;
  c->protocol->on_deadline(c, req);
  check(c);
}

bool cw_conn_take_posts(cw_server_t *srv) {
  CW_ASSERT_BATON(srv);
  bool any = false;
  int what;
  for (cw_post_t *post; (post = cw_posts_take(&srv->service.posts, &what)) != NULL;
       any = true) {
    cw_req_t *req = CW_CONTAINER(post, cw_req_t, post);
    CW_TAG_CHECK(req, CW_TAG_REQ);
    cw_conn_t *c = req->conn;
    c->protocol->on_post(c, req, what);
    check(c);
  }
  return any;
}

void cw_conn_evict(cw_conn_t *c) {
  CW_ASSERT_BATON(c->srv);
  if (c->phase == CW_PHASE_OPEN)
    c->protocol->evict(c);
  else
    cw_conn_close(c, CW_END_EVICTED);
}

void cw_conn_abort(cw_conn_t *c) {
  CW_ASSERT_BATON(c->srv);
  if (c->phase == CW_PHASE_OPEN) c->protocol->abort(c);
  cw_conn_close(c, CW_END_ABORTED);
}

bool cw_conn_flush(cw_conn_t *c, cw_req_t *req) {
  pthread_mutex_lock(&req->lock);
  int64_t before = cw_out_pending(req);
  int rc = cw_out_flush_locked(req);
  int64_t after = cw_out_pending(req);
  pthread_mutex_unlock(&req->lock);
  if (rc == CW_LOST) {
    cw_conn_lose(c, CW_END_SOCKET);
    return false;
  }
  c->moved += (uint32_t)(before - after);
  if (rc == CW_OK) c->want_write = false;
  return rc == CW_OK;
}

void cw_conn_check_output(const cw_conn_t *c, cw_req_t *req) {
  pthread_mutex_lock(&req->lock);
  bool output = cw_out_pending(req) && !atomic_load(&req->lost);
  bool told = cw_post_waits(&req->service->posts, &req->post);
  pthread_mutex_unlock(&req->lock);
  assert(!output || c->want_write || told);
  (void)output, (void)told;
}

const char *cw_conn_client(const cw_conn_t *c) {
  return c->proxy ? c->proxy->src_addr : c->peer_addr;
}

void cw_conn_accept(cw_server_t *srv, const cw_listener_t *l, int fd,
                    const struct sockaddr_storage *peer) {
  CW_ASSERT_BATON(srv);
  cw_conn_t *c = cw_calloc(1, sizeof(*c) + srv->protocol->size);
  int rc = c ? uv_poll_init_socket(&srv->loop, &c->poll, fd) : UV_ENOMEM;
  if (rc != 0) {
    cw_log(CW_LOG_ERROR, "a new connection is closed: %s",
           rc == UV_ENOMEM ? "out of memory" : strerror(-rc));
    free(c);
    cw_private_close(fd);
    return;
  }
  CW_TAG_SET(c, CW_TAG_CONN);
  c->srv = srv;
  c->protocol = srv->protocol;
  c->fd = fd;
  c->listener = l;
  cw_phase_t first = CW_PHASE_OPEN;
  bool reject = false; /* it may not speak for others, and nobody may speak directly */
  cw_timer_init(&c->timer);
  cw_list_init(&c->all);
  cw_addr_t addr;
  bool known = cw_peer_address(peer, &addr, c->peer_addr, c->peer_port);
  c->trusted = cw_networks_have(&srv->service.limits.trusted, known ? &addr : NULL);
  if (srv->service.limits.proxy_mode != CW_PROXY_OFF && !l->metrics) {
    if (cw_networks_have(&srv->service.limits.proxies, known ? &addr : NULL))
      first = CW_PHASE_PREFACE;
    else if (srv->service.limits.proxy_mode != CW_PROXY_AUTO)
      reject = true;
  }
  c->phase = (uint8_t)first;
  cw_list_push(&srv->conns, &c->all);
  srv->n_conns++;
  c->spare = srv->acceptors.on_spare && !l->metrics;
  srv->acceptors.on_spare = false;
  cw_account_connections(&srv->service.account, srv->n_conns);
  if (!l->metrics) cw_account_accepted(&srv->service.account);
  cw_conn_start_timer(c, CW_TIMER_HEAD);
  if (reject) {
    cw_conn_close(c, CW_END_NO_PROXY);
    return;
  }
  cw_conn_update_poll(c);
  check(c);
}
