/* SPDX-License-Identifier: MIT */
/* A connection's life. Everything here belongs to the baton holder.
 *
 * Callback names: on_* come from libuv or server.c. A connection may end inside any of
 * them; its memory stays until libuv's close callback, so state is checked after. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/forked.h"
#include "base/log.h"
#include "http/account.h"
#include "http/budget.h"
#include "http/checks.h"
#include "http/evict.h"
#include "http/own.h"
#include "http/parse.h"
#include "http/reason.h"
#include "http/refusals.h"

static void feed(cw_conn_t *c, const char *p, size_t n);
static bool wants_read(cw_conn_t *c);
static void on_event(uv_poll_t *poll, int status, int events);
static bool end_response(cw_conn_t *c);

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

static void set_state(cw_conn_t *c, cw_conn_state_t state) {
  bool legal = moves[c->state] & 1u << state;
  assert(legal);
  (void)legal;
  c->state = (uint8_t)state;
}

/* Ends every event: what must hold of a connection then, asserted in debug builds. */
static void check_conn(cw_conn_t *c) {
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
  pthread_mutex_lock(&c->srv->post_lock);
  bool told = c->req->posted;
  pthread_mutex_unlock(&c->srv->post_lock);
  pthread_mutex_unlock(&c->req->lock);
  assert(!output || c->want_write || told);
#endif
}

static void start_timer(cw_conn_t *c, cw_timer_kind_t kind) {
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

static void update_poll(cw_conn_t *c) {
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

static void account(cw_req_t *req) {
  const cw_server_t *srv = req->conn->srv;
  if (req->accounted) return;
  req->accounted = true;
  cw_metric_add(&srv->metrics->requests, 1);
  if (CW_UNLIKELY(srv->timed)) cw_account_request(req);
}

static void note_connections(cw_server_t *srv) {
  if (srv->counted)
    atomic_store_explicit(&srv->metrics->connections, srv->n_conns,
                          memory_order_relaxed);
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
static void close_conn(cw_conn_t *c, cw_end_t why) {
  if (c->state == CW_CONN_CLOSED) return;
  if (c->why != CW_END_NONE) why = (cw_end_t)c->why;
  cw_log(ends[why].level, "%s:%s: closed: %s", c->peer_addr[0] ? c->peer_addr : "unix",
         c->peer_port, ends[why].text);
  set_state(c, CW_CONN_CLOSED);
  cw_budget_note(c);
  cw_timer_stop(&c->timer);
  c->want_write = false;
  cw_list_remove(&c->all);
  c->srv->n_conns--;
  note_connections(c->srv);
  if (c->req) {
    account(c->req);
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
static void reset_conn(cw_conn_t *c, cw_end_t why) {
  struct linger hard = {.l_onoff = 1, .l_linger = 0};
  c->no_fin = true;
  (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  close_conn(c, why);
}

/* Says goodbye after a response: closing at once with unread input would reset the
 * connection under the response (RFC 9112 section 9.6). */
static void linger(cw_conn_t *c, cw_end_t why) {
  char byte;
  /* While draining nobody waits for clients that just keep their side open. */
  bool quiet = c->srv->draining && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
               errno == EAGAIN;
  if (c->eof || quiet || shutdown(c->fd, SHUT_WR) != 0) {
    close_conn(c, why);
    return;
  }
  c->why = (uint8_t)why;
  if (c->req) cw_req_free(c->req);
  c->req = NULL;
  cw_buf_free(&c->in);
  c->want_write = false;
  set_state(c, CW_CONN_LINGER);
  cw_budget_note(c);
  start_timer(c, CW_TIMER_LINGER);
  update_poll(c);
}

/* Nothing more can be read or sent. What its thread still does is for nobody. */
static void lose(cw_conn_t *c, cw_end_t why) {
  if (c->state != CW_CONN_RUN) {
    close_conn(c, why);
    return;
  }
  c->why = (uint8_t)why;
  c->eof = true;
  c->want_write = false;
  cw_timer_stop(&c->timer);
  cw_req_mark_lost(c->req);
  update_poll(c);
}

/* Starts a window in which body or response bytes have to move. */
static void start_window(cw_conn_t *c, cw_timer_kind_t kind) {
  c->moved = 0;
  start_timer(c, kind);
}

/* Whether the client read enough in the window that just ended. */
static bool kept_pace(const cw_conn_t *c) {
  const cw_server_t *srv = c->srv;
  uint64_t least =
      (uint64_t)srv->limits.rate * srv->timers.duration[CW_TIMER_STALL] / 1000;
  return c->moved > 0 && c->moved >= least;
}

/* Kept alive and waiting: the one to go when room is needed. */
static void become_idle(cw_conn_t *c) {
  set_state(c, CW_CONN_IDLE);
  /* The answer may have left before the drain began: it promised to keep the
   * connection, and a client that believed it has its next request under way. */
  start_timer(c, c->srv->draining ? CW_TIMER_DRAIN : CW_TIMER_IDLE);
  cw_server_made_room(c->srv);
}

/* Sends a whole error response that ends the connection. Nothing else is unsent where
 * this is called, so it fits or the client does not read at all: then returns false. */
static bool send_error(cw_conn_t *c, int status, bool is_head) {
  char text[256];
  const char *reason = cw_reason(status);
  int n =
      snprintf(text, sizeof(text),
               "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
               "Connection: close\r\nDate: %s\r\n\r\n%s%s",
               status, reason, strlen(reason) + 1, cw_http_date(),
               is_head ? "" : reason, is_head ? "" : "\n");
  return send(c->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n;
}

/* Answers a request that is not run, and ends the connection. What follows it on the
 * connection is never looked at. `why` as for cw_refusal_log(); `line` is the start of
 * a head that cannot be read. */
static void refuse(cw_conn_t *c, int status, const char *why, cw_span_t line) {
  bool is_head = c->req ? cw_is_head(c->req->head.method) : cw_is_head_line(line);
  cw_refusal_log(c, status, why, line);
  if (c->req) {
    c->req->answered = status;
    account(c->req);
  } else {
    cw_account_refused(c, status, line);
  }
  if (send_error(c, status, is_head))
    linger(c, CW_END_REFUSED);
  else
    close_conn(c, CW_END_REFUSED);
}

/* ---- request bodies ----------------------------------------------------- */

static bool body_open(cw_conn_t *c) {
  cw_body_t *b = &c->req->body;
  /* `complete` and `broken` are written by the loop alone: no lock to read them. */
  return !b->complete && !b->broken;
}

/* The body cannot go on, as `why` says. */
static void break_body(cw_conn_t *c, int status, const char *why) {
  if (c->state == CW_CONN_BODY) {
    refuse(c, status, why, (cw_span_t){NULL, 0});
    return;
  }
  cw_log(CW_LOG_INFO, "%s:%s: %s: %.*s %.*s", c->req->head.peer_addr,
         c->req->head.peer_port, why, (int)c->req->head.method.len,
         c->req->head.method.p, (int)CW_MIN(c->req->head.path.len, 1000u),
         c->req->head.path.p);
  if (c->state == CW_CONN_RUN)
    cw_body_break(c->req, status, why);
  else /* SKIP: the response is out, and must not be reset under way */
    linger(c, status == 408 ? CW_END_SLOW_BODY : CW_END_BAD_BODY);
}

/* What a status of cw_body_feed() means. */
static const char *body_fault(int status) {
  return status == 413   ? "the request's body is longer than --limit-request-body"
         : status == 503 ? "no memory for the request's body"
                         : "the framing of the request's body is broken";
}

/* Feeds bytes to the open body. Returns how many were used; fewer than `n` only at the
 * body's end, or where the connection cannot go on (then all of them). */
static size_t feed_body(cw_conn_t *c, const char *p, size_t n) {
  int status = 0;
  size_t used = cw_body_feed(c, p, n, &status);
  if (status) return break_body(c, status, body_fault(status)), n;
  /* A response under way has the timer for itself. */
  if (c->req->body.complete && !c->want_write) cw_timer_stop(&c->timer);
  return used;
}

/* ---- requests ----------------------------------------------------------- */

static void give_to_app(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  cw_timer_stop(&c->timer);
  set_state(c, CW_CONN_RUN);
  srv->gave_request = true;
  if (CW_UNLIKELY(srv->limits.request_timeout > 0)) {
    cw_timer_start(&srv->timers, &c->req->deadline, CW_TIMER_REQUEST,
                   uv_now(&srv->loop));
    if (c->req->deadline.due < srv->tick_due) cw_server_schedule_tick(srv);
  }
  if (CW_UNLIKELY(srv->timed)) {
    c->req->ready_at = c->req->body.received ? cw_now_us() : c->req->head_at;
    if (srv->counted) cw_metric_add(&srv->metrics->given, 1);
  }
  srv->host.ready(srv->host.data, c->req);
}

/* Sends an answer of the server's own to a request that no thread is to see. */
static void respond(cw_conn_t *c, const cw_own_t *own) {
  char head[256];
  cw_req_t *req = c->req;
  cw_resp_t *r = &req->resp;
  size_t len = cw_buf_pending(&own->body);
  bool is_head = cw_is_head(req->head.method);
  /* Probes and scrapes are neither counted nor logged. */
  req->accounted = true;
  r->close = !req->keep_alive || c->srv->draining || c->listener->metrics || c->spare ||
             c->srv->limits.keepalive == 0 || !req->body.complete;
  int n = snprintf(head, sizeof(head),
                   "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                   "%sDate: %s\r\n\r\n",
                   own->status, cw_reason(own->status), own->type, len,
                   r->close               ? "Connection: close\r\n"
                   : req->head.minor == 0 ? "Connection: keep-alive\r\n"
                                          : "",
                   cw_http_date());
  if (own->status == 0 || cw_buf_append(&req->out.buf, head, (size_t)n) != 0 ||
      cw_buf_append(&req->out.buf, own->body.p, is_head ? 0 : len) != 0) {
    close_conn(c, CW_END_NO_MEMORY);
    return;
  }
  set_state(c, CW_CONN_FLUSH);
  r->sent = r->ended = true;
  r->length = (int64_t)len;
  pthread_mutex_lock(&req->lock);
  int rc = cw_out_flush_locked(req);
  pthread_mutex_unlock(&req->lock);
  if (rc == CW_LOST) {
    close_conn(c, CW_END_SOCKET);
  } else if (rc == CW_WAIT) {
    c->want_write = true;
    start_window(c, CW_TIMER_STALL);
  } else if (end_response(c)) {
    become_idle(c);
  }
}

/* The same for a request whose body may still be coming. */
static void stream_to_app(cw_conn_t *c) {
  give_to_app(c);
  if (body_open(c)) start_window(c, CW_TIMER_BODY);
}

/* A chunked body is complete, or too long to wait for its end. */
static void end_gathering(cw_conn_t *c) {
  if (c->req->body.complete) cw_body_set_length(c->req);
  if (c->req->body.complete || c->req->body.received >= c->srv->limits.buffer_body)
    stream_to_app(c);
}

static bool answered_here(cw_conn_t *c) {
  cw_own_t own;
  if (!cw_own_answer(c, c->req, &own)) return false;
  respond(c, &own);
  cw_buf_free(&own.body);
  return true;
}

/* The head is parsed: run the request now, or once its small body is here. */
static void start_request(cw_conn_t *c) {
  cw_req_t *req = c->req;
  const cw_head_t *h = &req->head;
  if (CW_UNLIKELY(c->srv->timed)) req->head_at = cw_now_us();
  req->body.complete = !h->chunked && h->content_length <= 0;
  if (CW_UNLIKELY(c->srv->own_paths) && answered_here(c)) return;
  if (CW_UNLIKELY(c->spare) && cw_evict_is_full(c)) {
    refuse(c, 503, "no place but those kept for --health", (cw_span_t){NULL, 0});
    return;
  }
  if (!req->body.complete) {
    req->body.left = h->content_length;
    cw_chunked_init(&req->body.chunked);
    /* What waits for 100 Continue waits for the app. */
    if (h->content_length <= c->srv->limits.buffer_body && !req->expect_continue) {
      set_state(c, CW_CONN_BODY);
      start_window(c, h->chunked ? CW_TIMER_GATHER : CW_TIMER_BODY);
      return;
    }
  }
  stream_to_app(c);
}

/* Tries to read one head. Returns the bytes used, 0 where more are needed; a refused
 * request leaves the state LINGER or CLOSED. */
static size_t read_head(cw_conn_t *c, const char *p, size_t n) {
  enum { MAX_BLANKS = 2 };
  if (c->state == CW_CONN_IDLE) {
    set_state(c, CW_CONN_HEAD);
    start_timer(c, CW_TIMER_HEAD);
  }
  if (c->scanned == 0 && p[0] == '\r' && c->blanks < MAX_BLANKS) {
    /* RFC 9112 section 2.2: skip an empty line in front of the request line. */
    if (n < 2) return 0;
    if (p[1] == '\n') return c->blanks++, 2;
  }
  ptrdiff_t len = cw_scan_head(p, n, &c->scanned);
  if (len <= 0) {
    int status = cw_parse_partial(&c->srv->limits, p, n);
    if (len < 0 && status == 0) status = 400;
    if (status) refuse(c, status, NULL, (cw_span_t){p, n});
    return 0;
  }
  c->scanned = 0;
  c->blanks = 0;
  bool fits = (size_t)len <= c->srv->limits.head;
  int status = fits ? 503 : 431;
  if (fits && (c->req = cw_req_new(c)) != NULL)
    status = cw_parse_head(c->req, p, (size_t)len);
  if (status) {
    if (c->req) cw_req_free(c->req);
    c->req = NULL;
    refuse(c, status, NULL, (cw_span_t){p, n});
    return 0;
  }
  c->req->head_len = (uint32_t)len;
  c->req->followed = n > (size_t)len;
  start_request(c);
  return (size_t)len;
}

/* Reads the PROXY header in front of everything. Same results as read_head(). */
static size_t read_proxy_header(cw_conn_t *c, const char *p, size_t n) {
  cw_proxy_info_t info;
  ssize_t len = cw_proxy_header_parse(p, n, c->srv->limits.proxy_mode, &info);
  if (len == CW_PROXY_BAD) {
    /* Whoever this is, it does not speak what it should: nothing to answer. */
    close_conn(c, CW_END_BAD_PROXY);
    return 0;
  }
  if (len > 0 && info.family[0]) {
    c->proxy = cw_malloc(sizeof(info));
    if (!c->proxy) {
      close_conn(c, CW_END_NO_MEMORY);
      return 0;
    }
    *c->proxy = info;
  }
  if (len != 0) set_state(c, CW_CONN_HEAD);
  return len > 0 ? (size_t)len : 0;
}

/* Uses as many bytes as the connection's state allows. */
static size_t consume(cw_conn_t *c, const char *p, size_t n) {
  size_t used = 0;
  while (used < n) {
    size_t k;
    switch (c->state) {
      case CW_CONN_PROXY:
        k = read_proxy_header(c, p + used, n - used);
        if (c->state == CW_CONN_CLOSED) return n;
        if (k == 0 && c->state == CW_CONN_PROXY) return used;
        break;
      case CW_CONN_HEAD:
      case CW_CONN_IDLE:
        k = read_head(c, p + used, n - used);
        if (c->state == CW_CONN_LINGER || c->state == CW_CONN_CLOSED) return n;
        if (k == 0) return used;
        break;
      case CW_CONN_BODY:
      case CW_CONN_SKIP:
      case CW_CONN_RUN:
        if (!body_open(c)) return used;
        k = feed_body(c, p + used, n - used);
        if (c->state == CW_CONN_LINGER || c->state == CW_CONN_CLOSED) return n;
        if (c->state == CW_CONN_BODY && c->req->head.chunked)
          end_gathering(c);
        else if (c->state == CW_CONN_BODY && c->req->body.complete)
          give_to_app(c);
        if (c->state == CW_CONN_SKIP && c->req->body.complete) {
          cw_req_free(c->req);
          c->req = NULL;
          become_idle(c);
        }
        break;
      case CW_CONN_FLUSH: return used;
      default: return n;
    }
    used += k;
  }
  return used;
}

/* Bytes have arrived, or kept ones can be looked at again (n == 0). */
static void feed(cw_conn_t *c, const char *p, size_t n) {
  bool kept = cw_buf_pending(&c->in) > 0;
  if (kept) {
    if (cw_buf_append(&c->in, p, n) != 0) {
      lose(c, CW_END_NO_MEMORY);
      return;
    }
    p = c->in.p + c->in.off;
    n = cw_buf_pending(&c->in);
  }
  size_t used = consume(c, p, n);
  if (c->state == CW_CONN_CLOSED) return;
  if (c->state == CW_CONN_LINGER) {
    cw_buf_free(&c->in);
  } else if (kept) {
    cw_buf_consume(&c->in, used);
    if (!cw_buf_pending(&c->in)) cw_buf_free(&c->in);
  } else if (cw_buf_append(&c->in, p + used, n - used) != 0) {
    lose(c, CW_END_NO_MEMORY);
    return;
  }
  cw_budget_note(c);
  /* Bytes of a later request wait for this one: its end must wake the loop. */
  if (c->state == CW_CONN_RUN && cw_buf_pending(&c->in))
    atomic_store(&c->req->attention, true);
  update_poll(c);
}

static void on_eof(cw_conn_t *c);

static void next_request(cw_conn_t *c) {
  become_idle(c);
  if (cw_buf_pending(&c->in)) feed(c, NULL, 0);
  /* After FIN only what was received before it is answered. */
  if (c->eof)
    on_eof(c);
  else
    update_poll(c);
}

/* The response is with the kernel. Returns whether the connection is free for its next
 * request. */
static bool end_response(cw_conn_t *c) {
  cw_req_t *req = c->req;
  cw_timer_stop(&c->timer);
  c->want_write = false;
  if (req->resp.close) {
    /* A client that asked for the end sends nothing more: no need to wait for it. */
    if (!req->keep_alive && req->body.complete && !cw_buf_pending(&c->in))
      close_conn(c, CW_END_DONE);
    else
      linger(c, CW_END_DONE);
    return false;
  }
  if (!req->body.complete) {
    if (c->eof || req->body.broken) {
      linger(c, CW_END_BAD_BODY);
      return false;
    }
    cw_buf_free(&req->body.buf);
    set_state(c, CW_CONN_SKIP);
    start_window(c, CW_TIMER_BODY);
    update_poll(c);
    return false;
  }
  cw_req_free(req);
  c->req = NULL;
  return true;
}

static void end_request(cw_conn_t *c) {
  if (c->srv->timed && !c->req->done_at) c->req->done_at = cw_now_us();
  account(c->req);
  if (end_response(c)) next_request(c);
}

/* Whether the client can tell the end of the response's body. If not, only the end of
 * the connection marks it, and FIN after a part of it would look like success. */
static bool is_framed(const cw_req_t *req) {
  return req->resp.chunked || req->resp.length >= 0 || req->resp.no_body;
}

/* The app is done with the request; it is the loop's again. */
static void on_done(cw_conn_t *c) {
  cw_req_t *req = c->req;
  assert(c->state == CW_CONN_RUN);
  set_state(c, CW_CONN_FLUSH);
  if (c->srv->limits.request_timeout > 0) cw_timer_stop(&req->deadline);
  if (CW_UNLIKELY(req->taken_over)) {
    /* A copy of the socket may live on. */
    c->no_fin = true;
    close_conn(c, CW_END_TAKEN);
    return;
  }
  if (CW_UNLIKELY(cw_req_expired(req))) {
    /* The client has its 504, and must not lose it to a reset. */
    linger(c, CW_END_DEADLINE);
    return;
  }
  /* The client of a framed body notices that it was cut short. */
  req->resp.close |= req->failed;
  if (req->failed && req->resp.sent && !is_framed(req)) {
    reset_conn(c, CW_END_FAILED);
  } else if (atomic_load(&req->lost)) {
    close_conn(c, CW_END_SOCKET);
  } else if (req->failed && !req->resp.sent) {
    close_conn(c, CW_END_FAILED);
  } else if (cw_out_pending(req)) {
    req->done_at = 0; /* not yet */
    c->want_write = true;
    start_window(c, CW_TIMER_STALL);
    update_poll(c);
  } else {
    end_request(c);
  }
}

/* The thread has something for the loop, and goes on. */
static void on_notice(cw_conn_t *c, int posts) {
  if ((posts & CW_POST_WRITE) && !c->want_write && !atomic_load(&c->req->lost)) {
    c->want_write = true;
    start_window(c, CW_TIMER_STALL);
  }
  if ((posts & CW_POST_RESUME) && !c->want_write && body_open(c))
    start_window(c, CW_TIMER_BODY);
  update_poll(c);
}

void cw_conn_on_post(cw_conn_t *c, int posts) {
  if (posts & CW_POST_DONE)
    on_done(c);
  else
    on_notice(c, posts);
  check_conn(c);
}

/* ---- events ------------------------------------------------------------- */

static void on_eof(cw_conn_t *c) {
  c->eof = true;
  if (c->state != CW_CONN_RUN && c->state != CW_CONN_FLUSH) {
    close_conn(c, CW_END_CLIENT);
    return;
  }
  if (c->state == CW_CONN_RUN) {
    /* A half-closed client still reads its answer, but a body stays incomplete. */
    if (body_open(c)) cw_body_break(c->req, 400, NULL);
    atomic_store(&c->req->eof_at, cw_now_us());
    atomic_store(&c->req->attention, true);
  }
  update_poll(c);
}

static void on_readable(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  ssize_t n = recv(c->fd, srv->rbuf, sizeof(srv->rbuf), MSG_DONTWAIT);
  if (n > 0) {
    feed(c, srv->rbuf, (size_t)n);
  } else if (n == 0) {
    on_eof(c);
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    lose(c, CW_END_SOCKET);
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
    lose(c, CW_END_SOCKET);
    return;
  }
  c->moved += (uint32_t)(before - after);
  if (rc == CW_WAIT) return;
  c->want_write = false;
  /* The clock of a body that is still coming goes on. */
  if (c->state == CW_CONN_RUN && body_open(c))
    start_window(c, CW_TIMER_BODY);
  else
    cw_timer_stop(&c->timer);
  if (c->state == CW_CONN_FLUSH) {
    end_request(c);
    return;
  }
  if (wake) cw_event_set(&req->event);
  update_poll(c);
}

static void on_event(uv_poll_t *poll, int status, int events) {
  cw_conn_t *c = CW_CONTAINER(poll, cw_conn_t, poll);
  if (status < 0) {
    /* libuv has stopped polling. */
    c->events = 0;
    lose(c, CW_END_SOCKET);
  }
  /* Its thread may have ended the request since: then these bytes are the next one, or
   * this was the last one of the connection. */
  if (c->state == CW_CONN_RUN) cw_server_take_posts(c->srv);
  if ((events & UV_WRITABLE) && c->want_write) on_writable(c);
  if ((events & UV_READABLE) && c->state != CW_CONN_CLOSED && (c->events & UV_READABLE))
    on_readable(c);
  if (CW_UNLIKELY(c->srv->held > c->srv->limits.buffer_memory)) cw_budget_keep(c->srv);
  check_conn(c);
}

/* A window in which body bytes have to come ended. */
static void on_body_window(cw_conn_t *c) {
  const char *why = cw_body_too_slow(c);
  if (why)
    break_body(c, 408, why);
  else
    start_window(c, CW_TIMER_BODY);
}

/* A window of a running request ended. */
static void on_window_end(cw_conn_t *c) {
  if (c->want_write) {
    if (kept_pace(c))
      start_window(c, CW_TIMER_STALL);
    else
      lose(c, CW_END_STALLED);
  } else if (body_open(c)) {
    pthread_mutex_lock(&c->req->lock);
    bool ours = c->req->body.paused; /* it is the app that does not read */
    pthread_mutex_unlock(&c->req->lock);
    if (!ours) on_body_window(c);
  }
  update_poll(c);
}

bool cw_conn_has_unread(const cw_conn_t *c) {
  char byte;
  return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void cw_conn_on_timer(cw_conn_t *c) {
  switch (c->state) {
    case CW_CONN_HEAD:
      if (cw_buf_pending(&c->in))
        refuse(c, 408, "the request's head did not come within --header-timeout",
               (cw_span_t){c->in.p + c->in.off, cw_buf_pending(&c->in)});
      else
        close_conn(c, c->srv->draining ? CW_END_DRAIN : CW_END_SILENT);
      break;
    case CW_CONN_BODY:
      /* Its end is not near: the app takes it as it comes. */
      if (c->timer.kind == CW_TIMER_GATHER)
        stream_to_app(c);
      else
        on_body_window(c);
      break;
    case CW_CONN_SKIP: on_body_window(c); break;
    case CW_CONN_FLUSH:
      if (kept_pace(c))
        start_window(c, CW_TIMER_STALL);
      else if (is_framed(c->req))
        close_conn(c, CW_END_STALLED);
      else
        reset_conn(c, CW_END_STALLED);
      break;
    case CW_CONN_RUN: on_window_end(c); break;
    case CW_CONN_IDLE:
      /* A request that came in this moment is read in this very turn. */
      if (cw_conn_has_unread(c))
        start_timer(c, CW_TIMER_DRAIN);
      else
        close_conn(c, c->srv->draining ? CW_END_DRAIN : CW_END_IDLE);
      break;
    default: close_conn(c, CW_END_SILENT); break;
  }
  check_conn(c);
}

/* The request's time is up. Where no byte of a response has left, the client gets its
 * answer now; whatever the thread still sends is lost. */
void cw_conn_on_deadline(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  cw_req_t *req = c->req;
  int none = CW_CLAIM_NONE;
  assert(c->state == CW_CONN_RUN);
  cw_log(CW_LOG_WARNING, "%s:%s: %.*s %.*s took longer than %g s", req->head.peer_addr,
         req->head.peer_port, (int)req->head.method.len, req->head.method.p,
         (int)cw_log_target(req->head.target.p, req->head.target.len),
         req->head.target.p, (double)srv->limits.request_timeout / 1000);
  if (atomic_compare_exchange_strong(&req->claim, &none, (int)CW_CLAIM_LOOP)) {
    cw_timer_stop(&c->timer);
    c->want_write = false;
    pthread_mutex_lock(&req->lock);
    /* Half an interim response may wait to be sent: no answer fits behind it. */
    bool sent = !atomic_load(&req->lost) && !cw_out_pending(req) &&
                send_error(c, 504, cw_is_head(req->head.method));
    atomic_store(&req->lost, true);
    pthread_mutex_unlock(&req->lock);
    req->answered = sent ? 504 : CW_STATUS_LEFT;
    account(req);
    shutdown(c->fd, SHUT_WR);
    cw_req_mark_lost(req);
    update_poll(c);
  }
  if (srv->host.expired) srv->host.expired(srv->host.data, req);
  check_conn(c);
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
        close_conn(c, CW_END_DRAIN);
      else
        start_timer(c, CW_TIMER_DRAIN);
      break;
    case CW_CONN_PROXY:
    case CW_CONN_HEAD:
      /* Accepted moments ago: its request is on the way. Don't wait long for it. */
      if (cw_buf_pending(&c->in)) break;
      if (c->listener->metrics)
        close_conn(c, CW_END_DRAIN);
      else
        start_timer(c, CW_TIMER_LINGER);
      break;
    case CW_CONN_RUN: atomic_store(&c->req->attention, true); break;
    default: break;
  }
  check_conn(c);
}

/* What has come of a head that is not complete. */
static cw_span_t partial_head(const cw_conn_t *c) {
  size_t n = cw_buf_pending(&c->in);
  return n ? (cw_span_t){c->in.p + c->in.off, n} : (cw_span_t){NULL, 0};
}

void cw_conn_shed(cw_conn_t *c, int status) {
  if (c->state == CW_CONN_PROXY)
    close_conn(c, CW_END_REFUSED);
  else
    refuse(c, status, "--buffer-memory is used up by requests that come slowly",
           partial_head(c));
  check_conn(c);
}

void cw_conn_evict(cw_conn_t *c) {
  cw_span_t head = partial_head(c);
  if (c->state == CW_CONN_HEAD && head.len) {
    cw_refusal_log(c, 408, "the head comes slowly, and others need the place", head);
    cw_account_refused(c, 408, head);
    /* It takes no place any more, whether this can be read or not. */
    (void)send_error(c, 408, cw_is_head_line(head));
  }
  close_conn(c, CW_END_EVICTED);
}

void cw_conn_abort(cw_conn_t *c) {
  if (c->state == CW_CONN_RUN) set_state(c, CW_CONN_FLUSH);
  close_conn(c, CW_END_ABORTED);
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
  c->trusted = cw_networks_have(&srv->limits.trusted, known ? &addr : NULL);
  if (srv->limits.proxy_mode != CW_PROXY_OFF && !l->metrics) {
    if (cw_networks_have(&srv->limits.proxies, known ? &addr : NULL))
      first = CW_CONN_PROXY;
    else if (srv->limits.proxy_mode != CW_PROXY_AUTO)
      reject = true;
  }
  c->state = (uint8_t)first;
  cw_list_push(&srv->conns, &c->all);
  srv->n_conns++;
  c->spare = srv->on_spare && !l->metrics;
  srv->on_spare = false;
  note_connections(srv);
  if (srv->counted && !l->metrics) cw_metric_add(&srv->metrics->accepted, 1);
  start_timer(c, CW_TIMER_HEAD);
  if (reject) {
    close_conn(c, CW_END_NO_PROXY);
    return;
  }
  update_poll(c);
  check_conn(c);
}
