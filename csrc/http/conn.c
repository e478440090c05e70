/* SPDX-License-Identifier: MIT */
/* A connection's life: its socket, states, clocks and end. What is said on it is
 * exchange.c's. Everything here belongs to the baton holder.
 *
 * Callback names: on_* come from libuv or server.c. A connection may end inside any of
 * them; its memory stays until libuv's close callback, so state is checked after. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/forked.h"
#include "base/log.h"
#include "http/account.h"
#include "http/budget.h"
#include "http/conn.h"
#include "http/evict.h"
#include "http/exchange.h"
#include "http/server_internal.h"

static bool wants_read(cw_conn_t *c);
static void on_event(uv_poll_t *poll, int status, int events);

#define TO(state) (1u << CW_CONN_##state)

/* Where each state may go. Nothing leads out of CLOSED. */
static const unsigned moves[CW_CONN_STATES] = {
    [CW_CONN_PROXY] = TO(HEAD) | TO(CLOSED),
    [CW_CONN_HEAD] = TO(BODY) | TO(RUN) | TO(FLUSH) | TO(LINGER) | TO(CLOSED),
    [CW_CONN_IDLE] = TO(HEAD) | TO(CLOSED),
    [CW_CONN_BODY] = TO(RUN) | TO(LINGER) | TO(CLOSED),
    [CW_CONN_RUN] = TO(FLUSH),
    [CW_CONN_FLUSH] = TO(IDLE) | TO(SKIP) | TO(LINGER) | TO(CLOSED),
    [CW_CONN_SKIP] = TO(IDLE) | TO(LINGER) | TO(CLOSED),
    [CW_CONN_LINGER] = TO(CLOSED),
};

void cw_conn_set_state(cw_conn_t *c, cw_conn_state_t state) {
  bool legal = moves[c->state] & 1u << state;
  assert(legal);
  (void)legal;
  c->state = (uint8_t)state;
}

void cw_conn_check(cw_conn_t *c) {
#ifdef NDEBUG
  (void)c;
#else
  if (c->state == CW_CONN_CLOSED) {
    assert(!c->req && !c->want_write && cw_list_empty(&c->timer.node));
    return;
  }
  /* Whoever is polled for writing may not be so for ever. */
  assert(!c->want_write || cw_timer_runs(&c->timer, CW_TIMER_STALL));
  assert(!(c->events & UV_WRITABLE) == !c->want_write);
  bool running = c->state == CW_CONN_RUN;
  assert(c->req || !(running || c->state == CW_CONN_FLUSH));
  /* A running thread may be about to post that it has room again. */
  assert(running || !(c->events & UV_READABLE) == !wants_read(c));
  if (!c->req) return;
  /* What is left to send is polled for, or somebody was told. */
  pthread_mutex_lock(&c->req->lock);
  bool output = cw_out_pending(c->req) && !atomic_load(&c->req->lost);
  bool told = cw_post_waits(&c->srv->service.posts, &c->req->post);
  pthread_mutex_unlock(&c->req->lock);
  assert(!output || c->want_write || told);
#endif
}

void cw_conn_start_timer(cw_conn_t *c, cw_timer_kind_t kind) {
  cw_timer_start(&c->srv->timers, &c->timer, kind, uv_now(&c->srv->loop));
  if (c->timer.due < c->srv->tick_due) cw_server_schedule_tick(c->srv);
}

/* ---- what is polled for ------------------------------------------------- */

static bool wants_read(cw_conn_t *c) {
  if (c->eof) return false;
  if (c->state == CW_CONN_FLUSH) return false;
  if (c->state != CW_CONN_RUN) return true;
  /* Bytes of another protocol are for whoever takes the connection over. */
  if (c->req->head.upgrade) return false;
  pthread_mutex_lock(&c->req->lock);
  bool complete = c->req->body.complete, paused = c->req->body.paused,
       broken = c->req->body.broken;
  pthread_mutex_unlock(&c->req->lock);
  if (broken) return false;
  return complete ? cw_buf_pending(&c->in) < CW_PIPELINE_HIGH : !paused;
}

void cw_conn_update_poll(cw_conn_t *c) {
  if (c->state == CW_CONN_CLOSED) return;
  int events = (wants_read(c) ? UV_READABLE : 0) | (c->want_write ? UV_WRITABLE : 0);
  if (events == c->events) return;
  c->events = (uint8_t)events;
  /* Both only fail for a closing handle. */
  int rc = events ? uv_poll_start(&c->poll, events, on_event) : uv_poll_stop(&c->poll);
  assert(rc == 0);
  (void)rc;
}

/* ---- the end ------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle) {
  cw_conn_t *c = CW_CONTAINER(handle, cw_conn_t, poll);
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
    [CW_END_NO_MEMORY] = {CW_LOG_ERROR, "out of memory"},
    [CW_END_BAD_PROXY] = {CW_LOG_WARNING, "bad PROXY header"},
    [CW_END_NO_PROXY] = {CW_LOG_WARNING, "not in --proxy-allow-from"},
};

/* The one way a connection ends, told of once. Never while a thread runs its request.
 * One that lingered ends for the reason it lingered for. */
void cw_conn_close(cw_conn_t *c, cw_end_t why) {
  if (c->state == CW_CONN_CLOSED) return;
  if (c->why != CW_END_NONE) why = (cw_end_t)c->why;
  cw_log(ends[why].level, "%s:%s: closed: %s", c->peer_addr[0] ? c->peer_addr : "unix",
         c->peer_port, ends[why].text);
  cw_conn_set_state(c, CW_CONN_CLOSED);
  cw_budget_note(c);
  cw_timer_stop(&c->timer);
  c->want_write = false;
  cw_list_remove(&c->all);
  c->srv->n_conns--;
  cw_account_connections(&c->srv->service.account, c->srv->n_conns);
  if (c->req) {
    cw_account_once(&c->srv->service.account, c->req);
    cw_req_free(c->req);
  }
  c->req = NULL;
  free(c->proxy);
  c->proxy = NULL;
  uv_close((uv_handle_t *)&c->poll, on_closed);
  /* The end of the connection is that of this process's part of it, whoever else holds
   * a copy of the socket; but after a reset no FIN may come first. */
  if (!c->no_fin) shutdown(c->fd, SHUT_RDWR);
  cw_private_close(c->fd);
  cw_server_made_room(c->srv);
}

/* Ends the connection so that the client sees an error even where the end of the
 * connection would have been the end of the body. */
void cw_conn_reset(cw_conn_t *c, cw_end_t why) {
  struct linger hard = {.l_onoff = 1, .l_linger = 0};
  c->no_fin = true;
  (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  cw_conn_close(c, why);
}

/* Says goodbye after a response: closing at once with unread input would reset the
 * connection under the response (RFC 9112 section 9.6). */
void cw_conn_linger(cw_conn_t *c, cw_end_t why) {
  char byte;
  /* While draining nobody waits for clients that just keep their side open. */
  bool quiet = c->srv->service.draining &&
               recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  if (c->eof || quiet || shutdown(c->fd, SHUT_WR) != 0) {
    cw_conn_close(c, why);
    return;
  }
  c->why = (uint8_t)why;
  if (c->req) cw_req_free(c->req);
  c->req = NULL;
  cw_buf_free(&c->in);
  c->want_write = false;
  cw_conn_set_state(c, CW_CONN_LINGER);
  cw_budget_note(c);
  cw_conn_start_timer(c, CW_TIMER_LINGER);
  cw_conn_update_poll(c);
}

/* Nothing more can be read or sent. What its thread still does is for nobody. */
void cw_conn_lose(cw_conn_t *c, cw_end_t why) {
  if (c->state != CW_CONN_RUN) {
    cw_conn_close(c, why);
    return;
  }
  c->why = (uint8_t)why;
  c->eof = true;
  c->want_write = false;
  cw_timer_stop(&c->timer);
  cw_req_mark_lost(c->req);
  cw_conn_update_poll(c);
}

/* Starts a window in which body or response bytes have to move. */
void cw_conn_start_window(cw_conn_t *c, cw_timer_kind_t kind) {
  c->moved = 0;
  cw_conn_start_timer(c, kind);
}

/* Whether the client read enough in the window that just ended. */
static bool kept_pace(const cw_conn_t *c) {
  const cw_server_t *srv = c->srv;
  uint64_t least =
      (uint64_t)srv->service.limits.rate * srv->timers.duration[CW_TIMER_STALL] / 1000;
  return c->moved > 0 && c->moved >= least;
}

/* Kept alive and waiting: the one to go when room is needed. */
void cw_conn_become_idle(cw_conn_t *c) {
  cw_conn_set_state(c, CW_CONN_IDLE);
  /* The answer may have left before the drain began: it promised to keep the
   * connection, and a client that believed it has its next request under way. */
  cw_conn_start_timer(c, c->srv->service.draining ? CW_TIMER_DRAIN : CW_TIMER_IDLE);
  cw_server_made_room(c->srv);
}

/* ---- events ------------------------------------------------------------- */

void cw_conn_on_eof(cw_conn_t *c) {
  c->eof = true;
  if (c->state == CW_CONN_BODY && c->req->head.chunked) {
    /* Had it run already it would have heard that its body is cut short. */
    cw_exchange_refuse(c, 400, "the request's body ends early", (cw_span_t){NULL, 0});
    return;
  }
  if (c->state != CW_CONN_RUN && c->state != CW_CONN_FLUSH) {
    cw_conn_close(c, CW_END_CLIENT);
    return;
  }
  if (c->state == CW_CONN_RUN) {
    /* A half-closed client still reads its answer, but a body stays incomplete. */
    if (cw_body_open(c->req)) cw_body_break(c->req, 400, NULL);
    atomic_store(&c->req->eof_at, cw_now_us());
    atomic_store(&c->req->post.attention, true);
  }
  cw_conn_update_poll(c);
}

static void on_readable(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  ssize_t n = recv(c->fd, srv->rbuf, sizeof(srv->rbuf), MSG_DONTWAIT);
  if (n > 0) {
    cw_exchange_feed(c, srv->rbuf, (size_t)n);
  } else if (n == 0) {
    cw_conn_on_eof(c);
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    cw_conn_lose(c, CW_END_SOCKET);
  }
}

static void on_writable(cw_conn_t *c) {
  cw_req_t *req = c->req;
  pthread_mutex_lock(&req->lock);
  int64_t before = cw_out_pending(req);
  int rc = cw_out_flush_locked(req);
  int64_t after = cw_out_pending(req);
  bool wake = rc == CW_OK && req->waiting;
  pthread_mutex_unlock(&req->lock);
  if (rc == CW_LOST) {
    cw_conn_lose(c, CW_END_SOCKET);
    return;
  }
  c->moved += (uint32_t)(before - after);
  if (rc == CW_WAIT) return;
  c->want_write = false;
  /* The clock of a body that is still coming goes on. */
  if (c->state == CW_CONN_RUN && cw_body_open(c->req))
    cw_conn_start_window(c, CW_TIMER_BODY);
  else
    cw_timer_stop(&c->timer);
  if (c->state == CW_CONN_FLUSH) {
    cw_exchange_end(c);
    return;
  }
  if (wake) cw_event_set(&req->event);
  cw_conn_update_poll(c);
}

static void on_event(uv_poll_t *poll, int status, int events) {
  cw_conn_t *c = CW_CONTAINER(poll, cw_conn_t, poll);
  if (status < 0) {
    /* libuv has stopped polling. */
    c->events = 0;
    cw_conn_lose(c, CW_END_SOCKET);
  }
  /* Its thread may have ended the request since: then these bytes are the next one, or
   * this was the last one of the connection. */
  if (c->state == CW_CONN_RUN) cw_server_take_posts(c->srv);
  if ((events & UV_WRITABLE) && c->want_write) on_writable(c);
  if ((events & UV_READABLE) && c->state != CW_CONN_CLOSED && (c->events & UV_READABLE))
    on_readable(c);
  if (CW_UNLIKELY(c->srv->held > c->srv->service.limits.buffer_memory))
    cw_budget_keep(c->srv);
  cw_conn_check(c);
}

/* A window of a running request ended. */
static void on_window_end(cw_conn_t *c) {
  if (c->want_write) {
    if (kept_pace(c))
      cw_conn_start_window(c, CW_TIMER_STALL);
    else
      cw_conn_lose(c, CW_END_STALLED);
  } else if (cw_body_open(c->req)) {
    pthread_mutex_lock(&c->req->lock);
    bool ours = c->req->body.paused; /* it is the app that does not read */
    pthread_mutex_unlock(&c->req->lock);
    if (!ours) cw_exchange_on_body_window(c);
  }
  cw_conn_update_poll(c);
}

const char *cw_conn_client(const cw_conn_t *c) {
  return c->proxy ? c->proxy->src_addr : c->peer_addr;
}

bool cw_conn_has_unread(const cw_conn_t *c) {
  char byte;
  return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void cw_conn_on_timer(cw_conn_t *c) {
  switch (c->state) {
    case CW_CONN_HEAD:
      if (cw_buf_pending(&c->in))
        cw_exchange_refuse(c, 408,
                           "the request's head did not come within --header-timeout",
                           (cw_span_t){c->in.p + c->in.off, cw_buf_pending(&c->in)});
      else
        cw_conn_close(c, c->srv->service.draining ? CW_END_DRAIN : CW_END_SILENT);
      break;
    case CW_CONN_BODY:
      /* Its end is not near: the app takes it as it comes. */
      if (c->timer.kind == CW_TIMER_GATHER)
        cw_exchange_start(c);
      else
        cw_exchange_on_body_window(c);
      break;
    case CW_CONN_SKIP: cw_exchange_on_body_window(c); break;
    case CW_CONN_FLUSH:
      if (kept_pace(c))
        cw_conn_start_window(c, CW_TIMER_STALL);
      else if (cw_exchange_is_framed(c->req))
        cw_conn_close(c, CW_END_STALLED);
      else
        cw_conn_reset(c, CW_END_STALLED);
      break;
    case CW_CONN_RUN: on_window_end(c); break;
    case CW_CONN_IDLE:
      /* A request that came in this moment is read in this very turn. */
      if (cw_conn_has_unread(c))
        cw_conn_start_timer(c, CW_TIMER_DRAIN);
      else
        cw_conn_close(c, c->srv->service.draining ? CW_END_DRAIN : CW_END_IDLE);
      break;
    default: cw_conn_close(c, CW_END_SILENT); break;
  }
  cw_conn_check(c);
}

/* How long an idle connection has been so, ms. */
static uint64_t idle_for(const cw_conn_t *c) {
  const cw_timeqs_t *qs = &c->srv->timers;
  return uv_now(&c->srv->loop) - (c->timer.due - qs->duration[CW_TIMER_IDLE]);
}

void cw_conn_on_drain(cw_conn_t *c) {
  enum { LONG_IDLE = 5000 }; /* ms: who was silent for so long is not about to speak */
  switch (c->state) {
    case CW_CONN_IDLE:
      if (idle_for(c) > LONG_IDLE && !cw_conn_has_unread(c))
        cw_conn_close(c, CW_END_DRAIN);
      else
        cw_conn_start_timer(c, CW_TIMER_DRAIN);
      break;
    case CW_CONN_PROXY:
    case CW_CONN_HEAD:
      /* Accepted moments ago: its request is on the way. Don't wait long for it. */
      if (cw_buf_pending(&c->in)) break;
      if (c->listener->metrics)
        cw_conn_close(c, CW_END_DRAIN);
      else
        cw_conn_start_timer(c, CW_TIMER_LINGER);
      break;
    case CW_CONN_RUN: atomic_store(&c->req->post.attention, true); break;
    default: break;
  }
  cw_conn_check(c);
}

void cw_conn_abort(cw_conn_t *c) {
  if (c->state == CW_CONN_RUN) cw_conn_set_state(c, CW_CONN_FLUSH);
  cw_conn_close(c, CW_END_ABORTED);
}

void cw_conn_accept(cw_server_t *srv, const cw_listener_t *l, int fd,
                    const struct sockaddr_storage *peer) {
  cw_conn_t *c = cw_calloc(1, sizeof(*c));
  if (!c || uv_poll_init_socket(&srv->loop, &c->poll, fd) != 0) {
    free(c);
    cw_private_close(fd);
    return;
  }
  c->srv = srv;
  c->fd = fd;
  c->listener = l;
  cw_conn_state_t first = CW_CONN_HEAD;
  bool reject = false; /* it may not speak for others, and nobody may speak directly */
  cw_timer_init(&c->timer);
  cw_list_init(&c->all);
  cw_addr_t addr;
  bool known = cw_peer_address(peer, &addr, c->peer_addr, c->peer_port);
  c->trusted = cw_networks_have(&srv->service.limits.trusted, known ? &addr : NULL);
  if (srv->service.limits.proxy_mode != CW_PROXY_OFF && !l->metrics) {
    if (cw_networks_have(&srv->service.limits.proxies, known ? &addr : NULL))
      first = CW_CONN_PROXY;
    else if (srv->service.limits.proxy_mode != CW_PROXY_AUTO)
      reject = true;
  }
  c->state = (uint8_t)first;
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
  cw_conn_check(c);
}
