/* SPDX-License-Identifier: MIT */
/* HTTP/1.1: one request after the other is read, given to the app or answered here, and
 * its response ended. Everything here belongs to the baton holder; a connection may end
 * inside any function, so its phase is looked at after each. */
#include "http/h1.h"
#include "http/body.h"
#include "http/out.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "http/checks.h"
#include "http/evict.h"
#include "http/parse.h"
#include "http/server_internal.h"
#include "http/ws.h"

enum {
  PIPELINE_HIGH = 16 * 1024, /* bytes of later requests held while one runs */
  COPIED = 8 * 1024,         /* bytes: of a shorter body a copy is cheap */
  LONG_IDLE = 5000,          /* ms: who was silent for so long is not about to speak */
};

static void on_eof(cw_conn_t *c);

static void next_request(cw_conn_t *c) {
  cw_h1_become_idle(c);
  if (cw_buf_pending(&c->in)) cw_conn_feed(c, NULL, 0);
  /* After FIN only what was received before it is answered. */
  if (c->phase == CW_PHASE_OPEN && c->eof)
    on_eof(c);
  else
    cw_conn_update_poll(c);
}

static void end_exchange(cw_conn_t *c) {
  cw_account_t *account = &c->srv->service.account;
  cw_req_t *req = cw_h1_of(c)->req;
  if (account->timed && !req->done_at) req->done_at = cw_now_us();
  cw_account_once(account, req);
  if (cw_h1_end_response(c)) next_request(c);
}

/* ---- requests ----------------------------------------------------------- */

static void give_to_app(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  cw_req_t *req = cw_h1_of(c)->req;
  cw_timer_stop(&c->timer);
  cw_h1_set_state(c, CW_H1_RUN);
  c->collecting = false;
  c->running = 1;
  srv->gave_request = true;
  if (CW_UNLIKELY(srv->service.limits.request_timeout > 0)) {
    cw_timer_start(&srv->timers, &req->deadline, CW_TIMER_REQUEST, uv_now(&srv->loop));
    if (req->deadline.due < srv->tick_due) cw_server_schedule_tick(srv);
  }
  if (CW_UNLIKELY(srv->service.account.timed)) {
    req->ready_at = req->body.received ? cw_now_us() : req->head_at;
    cw_account_given(&srv->service.account);
  }
  srv->service.host.ready(srv->service.host.data, req);
}

/* The same for a request whose body may still be coming. */
static void start_request(cw_conn_t *c) {
  give_to_app(c);
  if (cw_body_open(cw_h1_of(c)->req)) cw_conn_start_window(c, CW_TIMER_BODY);
}

/* The head is parsed: run the request now, or once its small body is here. */
static void dispatch(cw_conn_t *c) {
  cw_req_t *req = cw_h1_of(c)->req;
  const cw_head_t *h = &req->head;
  if (CW_UNLIKELY(c->srv->service.account.timed)) req->head_at = cw_now_us();
  req->body.complete = !h->chunked && h->content_length <= 0;
  if (CW_UNLIKELY(c->srv->probed) && cw_h1_answer_probe(c)) return;
  if (CW_UNLIKELY(c->spare) && cw_evict_is_full(c)) {
    cw_h1_refuse(c, 503, "no place but those kept for --health", (cw_span_t){NULL, 0});
    return;
  }
  if (!req->body.complete) {
    req->body.left = h->content_length;
    cw_chunked_init(&req->body.chunked);
    /* What waits for 100 Continue waits for the app. */
    if (h->content_length <= c->srv->service.limits.buffer_body &&
        !req->expect_continue) {
      cw_h1_set_state(c, CW_H1_BODY);
      c->collecting = true;
      cw_conn_start_window(c, h->chunked ? CW_TIMER_GATHER : CW_TIMER_BODY);
      return;
    }
  }
  start_request(c);
}

static cw_req_t *new_request(cw_conn_t *c) {
  cw_req_t *req = cw_req_new(&c->srv->service, &cw_h1_stream, c->fd);
  if (!req) return NULL;
  cw_head_t *h = &req->head;
  req->conn = c;
  req->trusted = c->trusted;
  h->peer_addr = c->peer_addr;
  h->peer_port = c->peer_port;
  h->server_name = c->listener->is_unix ? "localhost" : c->listener->host;
  h->server_port = c->listener->is_unix ? "80" : c->listener->port;
  if (CW_UNLIKELY(c->proxy != NULL)) {
    const cw_proxy_info_t *info = c->proxy;
    h->proxy_family = info->family;
    h->proxy_addr = info->dst_addr;
    h->proxy_port = info->dst_port;
    h->peer_addr = info->src_addr;
    h->peer_port = info->src_port;
  }
  return req;
}

/* Tries to read one head. Returns the bytes used, 0 where more are needed; a refused
 * request is the connection's end. */
static size_t read_head(cw_conn_t *c, const char *p, size_t n) {
  enum { MAX_BLANKS = 2 };
  cw_h1_conn_t *h = cw_h1_of(c);
  const cw_limits_t *limits = &c->srv->service.limits;
  if (h->state == CW_H1_IDLE) {
    cw_h1_set_state(c, CW_H1_HEAD);
    cw_conn_start_timer(c, CW_TIMER_HEAD);
  }
  if (h->scanned == 0 && p[0] == '\r' && h->blanks < MAX_BLANKS) {
    /* RFC 9112 section 2.2: skip an empty line in front of the request line. */
    if (n < 2) return 0;
    if (p[1] == '\n') {
      h->blanks++;
      return 2;
    }
  }
  ptrdiff_t len = cw_scan_head(p, n, &h->scanned);
  if (len <= 0) {
    int status = cw_parse_partial(limits, p, n);
    if (len < 0 && status == 0) status = 400;
    if (status) cw_h1_refuse(c, status, NULL, (cw_span_t){p, n});
    return 0;
  }
  h->scanned = 0;
  h->blanks = 0;
  bool fits = (size_t)len <= limits->head;
  int status = fits ? 503 : 431;
  if (fits && (h->req = new_request(c)) != NULL)
    status = cw_parse_head(&c->srv->parser, h->req, p, (size_t)len);
  if (status) {
    if (h->req) cw_h1_let_go(c);
    cw_h1_refuse(c, status, NULL, (cw_span_t){p, n});
    return 0;
  }
  h->req->head_len = (uint32_t)len;
  h->req->followed = n > (size_t)len;
  dispatch(c);
  return (size_t)len;
}

/* ---- request bodies ------------------------------------------------------- */

/* What a status of cw_body_feed() means. */
static const char *body_fault(int status) {
  return status == 413   ? "the request's body is longer than --limit-request-body"
         : status == 503 ? "no memory for the request's body"
                         : "the framing of the request's body is broken";
}

/* What is to be done with the body at this point. */
static cw_body_use_t body_use(const cw_h1_conn_t *h) {
  return h->state == CW_H1_SKIP  ? CW_BODY_SKIP
         : h->state == CW_H1_RUN ? CW_BODY_STREAM
                                 : CW_BODY_GATHER;
}

/* Whether the body, which is to be collected, is whole at `p` in the server's block. It
 * then keeps it, and the server gets another one. */
static bool keep_block(cw_conn_t *c, const char *p, size_t n) {
  cw_server_t *srv = c->srv;
  cw_req_t *req = cw_h1_of(c)->req;
  const cw_body_t *b = &req->body;
  if (req->head.chunked || b->received || b->left < COPIED || (size_t)b->left > n)
    return false;
  /* Not where it is a part of what was kept from before. */
  uintptr_t at = (uintptr_t)p, block = (uintptr_t)srv->block;
  if (at < block || at >= block + CW_READ_SIZE) return false;
  char *next = cw_block_take(&srv->service.blocks);
  if (!next) return false;
  cw_body_keep_block(req, srv->block, p);
  srv->block = next;
  return true;
}

/* Feeds bytes to the open body. Returns how many were used; fewer than `n` only at the
 * body's end, or where the connection cannot go on (then all of them). */
static size_t feed_body(cw_conn_t *c, const char *p, size_t n) {
  cw_h1_conn_t *h = cw_h1_of(c);
  cw_body_t *b = &h->req->body;
  int64_t before = b->received;
  int status = 0;
  if (h->state == CW_H1_BODY && keep_block(c, p, n)) {
    cw_timer_stop(&c->timer);
    return (size_t)b->received;
  }
  size_t used = cw_body_feed(h->req, p, n, body_use(h), &status);
  /* While a response stalls the window is for its bytes alone. */
  if (!c->want_write) c->moved += (uint32_t)(b->received - before);
  if (status) {
    cw_h1_break_body(c, status, body_fault(status));
    return n;
  }
  /* A response under way has the timer for itself. */
  if (b->complete && !c->want_write) cw_timer_stop(&c->timer);
  return used;
}

/* A small body is complete, or too long to wait for its end. */
static void end_gathering(cw_conn_t *c) {
  cw_req_t *req = cw_h1_of(c)->req;
  if (!req->head.chunked) {
    if (req->body.complete) give_to_app(c);
    return;
  }
  if (req->body.complete) cw_body_set_length(req);
  if (req->body.complete || req->body.received >= c->srv->service.limits.buffer_body)
    start_request(c);
}

static size_t read_body(cw_conn_t *c, const char *p, size_t n) {
  cw_h1_conn_t *h = cw_h1_of(c);
  size_t used = feed_body(c, p, n);
  if (cw_conn_is_over(c)) return n;
  if (h->state == CW_H1_BODY) end_gathering(c);
  if (h->state == CW_H1_SKIP && h->req->body.complete) {
    cw_h1_let_go(c);
    cw_h1_become_idle(c);
  }
  return used;
}

/* A window in which body bytes have to come ended. */
static void on_body_window(cw_conn_t *c) {
  const char *why = cw_body_too_slow(
      cw_h1_of(c)->req, (uint32_t)c->srv->timers.duration[CW_TIMER_BODY], c->moved > 0);
  if (why)
    cw_h1_break_body(c, 408, why);
  else
    cw_conn_start_window(c, CW_TIMER_BODY);
}

/* ---- input ---------------------------------------------------------------- */

static size_t consume(cw_conn_t *c, const char *p, size_t n) {
  cw_h1_conn_t *h = cw_h1_of(c);
  size_t used = 0;
  while (used < n) {
    size_t k;
    switch (h->state) {
      case CW_H1_HEAD:
      case CW_H1_IDLE:
        k = read_head(c, p + used, n - used);
        if (cw_conn_is_over(c)) return n;
        if (k == 0) return used;
        break;
      case CW_H1_RUN:
        if (!cw_body_open(h->req)) {
          /* Bytes of a later request wait for this one: its end must wake the loop. */
          atomic_store(&h->req->post.attention, true);
          return used;
        }
        k = read_body(c, p + used, n - used);
        break;
      case CW_H1_BODY:
      case CW_H1_SKIP: k = read_body(c, p + used, n - used); break;
      default: return used; /* FLUSH */
    }
    if (cw_conn_is_over(c)) return n;
    used += k;
  }
  return used;
}

static bool wants_read(cw_conn_t *c) {
  const cw_h1_conn_t *h = cw_h1_of(c);
  if (h->state == CW_H1_FLUSH) return false;
  if (h->state != CW_H1_RUN) return true;
  cw_req_t *req = h->req;
  pthread_mutex_lock(&req->lock);
  bool complete = req->body.complete, paused = req->body.paused,
       broken = req->body.broken, async = req->async;
  pthread_mutex_unlock(&req->lock);
  /* Bytes of another protocol are for whoever takes the connection over: a WSGI app, or
   * a WebSocket. */
  if (broken || (req->head.upgrade && (!async || cw_req_is_websocket(req))))
    return false;
  return complete ? cw_buf_pending(&c->in) < PIPELINE_HIGH : !paused;
}

static void on_eof(cw_conn_t *c) {
  cw_h1_conn_t *h = cw_h1_of(c);
  if (h->state == CW_H1_BODY && h->req->head.chunked) {
    /* Had it run already it would have heard that its body is cut short. */
    cw_h1_refuse(c, 400, "the request's body ends early", (cw_span_t){NULL, 0});
    return;
  }
  if (h->state == CW_H1_RUN) {
    /* A half-closed client still reads its answer, but a body stays incomplete. */
    if (cw_body_open(h->req)) cw_body_break(h->req, 400, NULL);
    cw_req_mark_eof(h->req);
  } else if (h->state != CW_H1_FLUSH) {
    cw_conn_close(c, CW_END_CLIENT);
    return;
  }
  cw_conn_update_poll(c);
}

/* ---- output --------------------------------------------------------------- */

static void on_writable(cw_conn_t *c) {
  const cw_h1_conn_t *h = cw_h1_of(c);
  cw_req_t *req = h->req;
  if (!cw_conn_flush(c, req)) return;
  /* The clock of a body that is still coming goes on. */
  if (h->state == CW_H1_RUN && cw_body_open(req))
    cw_conn_start_window(c, CW_TIMER_BODY);
  else
    cw_timer_stop(&c->timer);
  if (h->state == CW_H1_FLUSH) {
    end_exchange(c);
    return;
  }
  pthread_mutex_lock(&req->lock);
  if (req->waiting) cw_req_rouse_locked(req);
  pthread_mutex_unlock(&req->lock);
  cw_conn_update_poll(c);
}

/* The app is done with the request; it is the loop's again. */
static void on_done(cw_conn_t *c, cw_req_t *req) {
  cw_h1_set_state(c, CW_H1_FLUSH);
  c->running = 0;
  if (req->service->limits.request_timeout > 0) cw_timer_stop(&req->deadline);
  if (CW_UNLIKELY(req->taken_over)) {
    /* A copy of the socket may live on. */
    c->no_fin = true;
    cw_conn_close(c, CW_END_TAKEN);
    return;
  }
  if (CW_UNLIKELY(cw_req_expired(req))) {
    /* The client has its 504, and must not lose it to a reset. */
    cw_conn_linger(c, CW_END_DEADLINE);
    return;
  }
  /* The client of a framed body notices that it was cut short. */
  req->resp.close |= req->failed;
  if (req->failed && req->resp.sent && !cw_h1_is_framed(req)) {
    cw_conn_reset(c, CW_END_FAILED);
  } else if (atomic_load(&req->lost)) {
    cw_conn_close(c, CW_END_SOCKET);
  } else if (req->failed && !req->resp.sent) {
    cw_conn_close(c, CW_END_FAILED);
  } else if (cw_out_pending(req)) {
    req->done_at = 0; /* not yet */
    if (req->held) {
      req->held = false;
      bool all = cw_conn_flush(c, req);
      if (all) end_exchange(c); /* and its memory is not ours any more */
      if (all || c->phase == CW_PHASE_CLOSED) return;
    }
    c->want_write = true;
    cw_conn_start_window(c, CW_TIMER_STALL);
    cw_conn_update_poll(c);
  } else {
    end_exchange(c);
  }
}

static void on_post(cw_conn_t *c, cw_req_t *req, int what) {
  /* The usual one. A switch comes first where it comes with another. */
  if (CW_LIKELY(what == CW_POST_DONE)) {
    on_done(c, req);
    return;
  }
  if (what & CW_POST_SWITCH) {
    cw_ws_open(c, req, what & ~CW_POST_SWITCH);
    return;
  }
  if (what & CW_POST_DONE) {
    on_done(c, req);
    return;
  }
  /* The thread has something for the loop, and goes on. */
  if ((what & CW_POST_WRITE) && !c->want_write && !atomic_load(&req->lost)) {
    c->want_write = true;
    cw_conn_start_window(c, CW_TIMER_STALL);
  }
  if ((what & CW_POST_RESUME) && !c->want_write && cw_body_open(req))
    cw_conn_start_window(c, CW_TIMER_BODY);
  cw_conn_update_poll(c);
}

/* ---- time ------------------------------------------------------------------ */

/* A window of a running request ended. */
static void on_window_end(cw_conn_t *c) {
  cw_req_t *req = cw_h1_of(c)->req;
  if (c->want_write) {
    if (cw_conn_kept_pace(c))
      cw_conn_start_window(c, CW_TIMER_STALL);
    else
      cw_conn_lose(c, CW_END_STALLED);
  } else if (cw_body_open(req)) {
    pthread_mutex_lock(&req->lock);
    bool ours = req->body.paused; /* it is the app that does not read */
    pthread_mutex_unlock(&req->lock);
    if (!ours) on_body_window(c);
  }
  cw_conn_update_poll(c);
}

static void on_timer(cw_conn_t *c) {
  const cw_h1_conn_t *h = cw_h1_of(c);
  bool draining = c->srv->service.draining;
  switch (h->state) {
    case CW_H1_HEAD:
      if (cw_buf_pending(&c->in))
        cw_h1_refuse(c, 408, "the request's head did not come within --header-timeout",
                     (cw_span_t){c->in.p + c->in.off, cw_buf_pending(&c->in)});
      else
        cw_conn_close(c, draining ? CW_END_DRAIN : CW_END_SILENT);
      break;
    case CW_H1_BODY:
      /* Its end is not near: the app takes it as it comes. */
      if (c->timer.kind == CW_TIMER_GATHER)
        start_request(c);
      else
        on_body_window(c);
      break;
    case CW_H1_SKIP: on_body_window(c); break;
    case CW_H1_FLUSH:
      if (cw_conn_kept_pace(c))
        cw_conn_start_window(c, CW_TIMER_STALL);
      else if (cw_h1_is_framed(h->req))
        cw_conn_close(c, CW_END_STALLED);
      else
        cw_conn_reset(c, CW_END_STALLED);
      break;
    case CW_H1_RUN: on_window_end(c); break;
    default: /* IDLE */
      /* A request that came in this moment is read in this very turn. */
      if (cw_conn_has_unread(c))
        cw_conn_start_timer(c, CW_TIMER_DRAIN);
      else
        cw_conn_close(c, draining ? CW_END_DRAIN : CW_END_IDLE);
      break;
  }
}

/* How long an idle connection has been so, ms. */
static uint64_t idle_for(const cw_conn_t *c) {
  const cw_timeqs_t *qs = &c->srv->timers;
  return uv_now(&c->srv->loop) - (c->timer.due - qs->duration[CW_TIMER_IDLE]);
}

static void on_drain(cw_conn_t *c) {
  const cw_h1_conn_t *h = cw_h1_of(c);
  switch (h->state) {
    case CW_H1_IDLE:
      if (idle_for(c) > LONG_IDLE && !cw_conn_has_unread(c))
        cw_conn_close(c, CW_END_DRAIN);
      else
        cw_conn_start_timer(c, CW_TIMER_DRAIN);
      break;
    case CW_H1_HEAD:
      /* Accepted moments ago: its request is on the way. Don't wait long for it. */
      if (cw_buf_pending(&c->in)) break;
      if (c->listener->metrics)
        cw_conn_close(c, CW_END_DRAIN);
      else
        cw_conn_start_timer(c, CW_TIMER_LINGER);
      break;
    case CW_H1_RUN: atomic_store(&h->req->post.attention, true); break;
    default: break;
  }
}

/* ---- the rest of the table ---------------------------------------------------- */

static void lose(cw_conn_t *c) {
  cw_req_mark_lost(cw_h1_of(c)->req);
}

static void give_up(cw_conn_t *c) {
  if (c->running) cw_h1_set_state(c, CW_H1_FLUSH);
  c->running = 0;
}

static void end(cw_conn_t *c) {
  cw_req_t *req = cw_h1_of(c)->req;
  if (!req) return;
  cw_account_once(&c->srv->service.account, req);
  cw_h1_let_go(c);
}

static size_t held(cw_conn_t *c, uint32_t *awaited) {
  const cw_h1_conn_t *h = cw_h1_of(c);
  *awaited = 0;
  if (h->state == CW_H1_HEAD) return c->in.cap;
  if (h->state != CW_H1_BODY) return 0;
  *awaited = h->req->body.awaited;
  return c->in.cap + h->req->head_len + h->req->body.buf.cap;
}

static void check(cw_conn_t *c) {
  const cw_h1_conn_t *h = cw_h1_of(c);
  cw_req_t *req = h->req;
  assert(!c->running == !(h->state == CW_H1_RUN));
  assert(c->collecting == (h->state == CW_H1_BODY));
  assert(req || !(h->state == CW_H1_RUN || h->state == CW_H1_FLUSH));
  if (!req) return;
  cw_conn_check_output(c, req);
}

const cw_protocol_t cw_h1 = {
    .size = sizeof(cw_h1_conn_t),
    .consume = consume,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_timer = on_timer,
    .on_drain = on_drain,
    .on_post = on_post,
    .on_deadline = cw_h1_on_deadline,
    .evict = cw_h1_evict,
    .shed = cw_h1_shed,
    .lose = lose,
    .abort = give_up,
    .end = end,
    .wants_read = wants_read,
    .held = held,
    .check = check,
};
