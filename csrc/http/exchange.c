/* SPDX-License-Identifier: MIT */
/* What is said on a connection: one request after the other is read, given to the app
 * or answered here, and its response ended. Everything here belongs to the baton
 * holder; a connection may end inside any function, so its state is looked at after
 * each. */
#include "http/exchange.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "http/account.h"
#include "http/budget.h"
#include "http/checks.h"
#include "http/conn.h"
#include "http/evict.h"
#include "http/own.h"
#include "http/parse.h"
#include "http/reason.h"
#include "http/refusals.h"
#include "http/server_internal.h"

static bool end_response(cw_conn_t *c);

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
void cw_exchange_refuse(cw_conn_t *c, int status, const char *why, cw_span_t line) {
  bool is_head = c->req ? cw_is_head(c->req->head.method) : cw_is_head_line(line);
  cw_refusal_log(c, status, why, line);
  if (c->req) {
    c->req->answered = status;
    cw_account_once(&c->srv->service.account, c->req);
  } else {
    cw_account_refused(&c->srv->service.account, cw_conn_client(c), status, line);
  }
  if (send_error(c, status, is_head))
    cw_conn_linger(c, CW_END_REFUSED);
  else
    cw_conn_close(c, CW_END_REFUSED);
}

/* ---- request bodies ----------------------------------------------------- */

/* The body cannot go on, as `why` says. */
static void break_body(cw_conn_t *c, int status, const char *why) {
  if (c->state == CW_CONN_BODY) {
    cw_exchange_refuse(c, status, why, (cw_span_t){NULL, 0});
    return;
  }
  cw_log(CW_LOG_INFO, "%s:%s: %s: %.*s %.*s", c->req->head.peer_addr,
         c->req->head.peer_port, why, (int)c->req->head.method.len,
         c->req->head.method.p, (int)CW_MIN(c->req->head.path.len, 1000u),
         c->req->head.path.p);
  if (c->state == CW_CONN_RUN)
    cw_body_break(c->req, status, why);
  else /* SKIP: the response is out, and must not be reset under way */
    cw_conn_linger(c, status == 408 ? CW_END_SLOW_BODY : CW_END_BAD_BODY);
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
  cw_body_use_t use = c->state == CW_CONN_SKIP  ? CW_BODY_SKIP
                      : c->state == CW_CONN_RUN ? CW_BODY_STREAM
                                                : CW_BODY_GATHER;
  int64_t before = c->req->body.received;
  int status = 0;
  size_t used = cw_body_feed(c->req, p, n, use, &status);
  /* While a response stalls the window is for its bytes alone. */
  if (!c->want_write) c->moved += (uint32_t)(c->req->body.received - before);
  if (status) return break_body(c, status, body_fault(status)), n;
  /* A response under way has the timer for itself. */
  if (c->req->body.complete && !c->want_write) cw_timer_stop(&c->timer);
  return used;
}

/* ---- requests ----------------------------------------------------------- */

static void give_to_app(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  cw_timer_stop(&c->timer);
  cw_conn_set_state(c, CW_CONN_RUN);
  srv->gave_request = true;
  if (CW_UNLIKELY(srv->service.limits.request_timeout > 0)) {
    cw_timer_start(&srv->timers, &c->req->deadline, CW_TIMER_REQUEST,
                   uv_now(&srv->loop));
    if (c->req->deadline.due < srv->tick_due) cw_server_schedule_tick(srv);
  }
  if (CW_UNLIKELY(srv->service.account.timed)) {
    c->req->ready_at = c->req->body.received ? cw_now_us() : c->req->head_at;
    cw_account_given(&srv->service.account);
  }
  srv->service.host.ready(srv->service.host.data, c->req);
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
  r->close = !req->keep_alive || c->srv->service.draining || c->listener->metrics ||
             c->spare || c->srv->service.limits.keepalive == 0 || !req->body.complete;
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
    cw_conn_close(c, CW_END_NO_MEMORY);
    return;
  }
  cw_conn_set_state(c, CW_CONN_FLUSH);
  r->sent = r->ended = true;
  r->length = (int64_t)len;
  pthread_mutex_lock(&req->lock);
  int rc = cw_out_flush_locked(req);
  pthread_mutex_unlock(&req->lock);
  if (rc == CW_LOST) {
    cw_conn_close(c, CW_END_SOCKET);
  } else if (rc == CW_WAIT) {
    c->want_write = true;
    cw_conn_start_window(c, CW_TIMER_STALL);
  } else if (end_response(c)) {
    cw_conn_become_idle(c);
  }
}

/* The same for a request whose body may still be coming. */
void cw_exchange_start(cw_conn_t *c) {
  give_to_app(c);
  if (cw_body_open(c->req)) cw_conn_start_window(c, CW_TIMER_BODY);
}

/* A chunked body is complete, or too long to wait for its end. */
static void end_gathering(cw_conn_t *c) {
  if (c->req->body.complete) cw_body_set_length(c->req);
  if (c->req->body.complete ||
      c->req->body.received >= c->srv->service.limits.buffer_body)
    cw_exchange_start(c);
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
  if (CW_UNLIKELY(c->srv->service.account.timed)) req->head_at = cw_now_us();
  req->body.complete = !h->chunked && h->content_length <= 0;
  if (CW_UNLIKELY(c->srv->own_paths) && answered_here(c)) return;
  if (CW_UNLIKELY(c->spare) && cw_evict_is_full(c)) {
    cw_exchange_refuse(c, 503, "no place but those kept for --health",
                       (cw_span_t){NULL, 0});
    return;
  }
  if (!req->body.complete) {
    req->body.left = h->content_length;
    cw_chunked_init(&req->body.chunked);
    /* What waits for 100 Continue waits for the app. */
    if (h->content_length <= c->srv->service.limits.buffer_body &&
        !req->expect_continue) {
      cw_conn_set_state(c, CW_CONN_BODY);
      cw_conn_start_window(c, h->chunked ? CW_TIMER_GATHER : CW_TIMER_BODY);
      return;
    }
  }
  cw_exchange_start(c);
}

static cw_req_t *new_request(cw_conn_t *c) {
  cw_req_t *req = cw_req_new(&c->srv->service, c->fd);
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
 * request leaves the state LINGER or CLOSED. */
static size_t read_head(cw_conn_t *c, const char *p, size_t n) {
  enum { MAX_BLANKS = 2 };
  if (c->state == CW_CONN_IDLE) {
    cw_conn_set_state(c, CW_CONN_HEAD);
    cw_conn_start_timer(c, CW_TIMER_HEAD);
  }
  if (c->scanned == 0 && p[0] == '\r' && c->blanks < MAX_BLANKS) {
    /* RFC 9112 section 2.2: skip an empty line in front of the request line. */
    if (n < 2) return 0;
    if (p[1] == '\n') return c->blanks++, 2;
  }
  ptrdiff_t len = cw_scan_head(p, n, &c->scanned);
  if (len <= 0) {
    int status = cw_parse_partial(&c->srv->service.limits, p, n);
    if (len < 0 && status == 0) status = 400;
    if (status) cw_exchange_refuse(c, status, NULL, (cw_span_t){p, n});
    return 0;
  }
  c->scanned = 0;
  c->blanks = 0;
  bool fits = (size_t)len <= c->srv->service.limits.head;
  int status = fits ? 503 : 431;
  if (fits && (c->req = new_request(c)) != NULL)
    status = cw_parse_head(&c->srv->parser, c->req, p, (size_t)len);
  if (status) {
    if (c->req) cw_req_free(c->req);
    c->req = NULL;
    cw_exchange_refuse(c, status, NULL, (cw_span_t){p, n});
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
  if (len != 0) cw_conn_set_state(c, CW_CONN_HEAD);
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
        if (!cw_body_open(c->req)) return used;
        k = feed_body(c, p + used, n - used);
        if (c->state == CW_CONN_LINGER || c->state == CW_CONN_CLOSED) return n;
        if (c->state == CW_CONN_BODY && c->req->head.chunked)
          end_gathering(c);
        else if (c->state == CW_CONN_BODY && c->req->body.complete)
          give_to_app(c);
        if (c->state == CW_CONN_SKIP && c->req->body.complete) {
          cw_req_free(c->req);
          c->req = NULL;
          cw_conn_become_idle(c);
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
void cw_exchange_feed(cw_conn_t *c, const char *p, size_t n) {
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
  if (c->state == CW_CONN_CLOSED) return;
  if (c->state == CW_CONN_LINGER) {
    cw_buf_free(&c->in);
  } else if (kept) {
    cw_buf_consume(&c->in, used);
    if (!cw_buf_pending(&c->in)) cw_buf_free(&c->in);
  } else if (cw_buf_append(&c->in, p + used, n - used) != 0) {
    cw_conn_lose(c, CW_END_NO_MEMORY);
    return;
  }
  cw_budget_note(c);
  /* Bytes of a later request wait for this one: its end must wake the loop. */
  if (c->state == CW_CONN_RUN && cw_buf_pending(&c->in))
    atomic_store(&c->req->post.attention, true);
  cw_conn_update_poll(c);
}

static void next_request(cw_conn_t *c) {
  cw_conn_become_idle(c);
  if (cw_buf_pending(&c->in)) cw_exchange_feed(c, NULL, 0);
  /* After FIN only what was received before it is answered. */
  if (c->eof)
    cw_conn_on_eof(c);
  else
    cw_conn_update_poll(c);
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
      cw_conn_close(c, CW_END_DONE);
    else
      cw_conn_linger(c, CW_END_DONE);
    return false;
  }
  if (!req->body.complete) {
    if (c->eof || req->body.broken) {
      cw_conn_linger(c, CW_END_BAD_BODY);
      return false;
    }
    cw_buf_free(&req->body.buf);
    cw_conn_set_state(c, CW_CONN_SKIP);
    cw_conn_start_window(c, CW_TIMER_BODY);
    cw_conn_update_poll(c);
    return false;
  }
  cw_req_free(req);
  c->req = NULL;
  return true;
}

void cw_exchange_end(cw_conn_t *c) {
  if (c->srv->service.account.timed && !c->req->done_at) c->req->done_at = cw_now_us();
  cw_account_once(&c->srv->service.account, c->req);
  if (end_response(c)) next_request(c);
}

/* Whether the client can tell the end of the response's body. If not, only the end of
 * the connection marks it, and FIN after a part of it would look like success. */
bool cw_exchange_is_framed(const cw_req_t *req) {
  return req->resp.chunked || req->resp.length >= 0 || req->resp.no_body;
}

/* The app is done with the request; it is the loop's again. */
static void on_done(cw_conn_t *c) {
  cw_req_t *req = c->req;
  assert(c->state == CW_CONN_RUN);
  cw_conn_set_state(c, CW_CONN_FLUSH);
  if (c->srv->service.limits.request_timeout > 0) cw_timer_stop(&req->deadline);
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
  if (req->failed && req->resp.sent && !cw_exchange_is_framed(req)) {
    cw_conn_reset(c, CW_END_FAILED);
  } else if (atomic_load(&req->lost)) {
    cw_conn_close(c, CW_END_SOCKET);
  } else if (req->failed && !req->resp.sent) {
    cw_conn_close(c, CW_END_FAILED);
  } else if (cw_out_pending(req)) {
    req->done_at = 0; /* not yet */
    c->want_write = true;
    cw_conn_start_window(c, CW_TIMER_STALL);
    cw_conn_update_poll(c);
  } else {
    cw_exchange_end(c);
  }
}

/* The thread has something for the loop, and goes on. */
static void on_notice(cw_conn_t *c, int posts) {
  if ((posts & CW_POST_WRITE) && !c->want_write && !atomic_load(&c->req->lost)) {
    c->want_write = true;
    cw_conn_start_window(c, CW_TIMER_STALL);
  }
  if ((posts & CW_POST_RESUME) && !c->want_write && cw_body_open(c->req))
    cw_conn_start_window(c, CW_TIMER_BODY);
  cw_conn_update_poll(c);
}

void cw_exchange_on_post(cw_conn_t *c, int posts) {
  if (posts & CW_POST_DONE)
    on_done(c);
  else
    on_notice(c, posts);
  cw_conn_check(c);
}

/* A window in which body bytes have to come ended. */
void cw_exchange_on_body_window(cw_conn_t *c) {
  const char *why = cw_body_too_slow(
      c->req, (uint32_t)c->srv->timers.duration[CW_TIMER_BODY], c->moved > 0);
  if (why)
    break_body(c, 408, why);
  else
    cw_conn_start_window(c, CW_TIMER_BODY);
}

/* The request's time is up. Where no byte of a response has left, the client gets its
 * answer now; whatever the thread still sends is lost. */
void cw_exchange_on_deadline(cw_conn_t *c) {
  cw_server_t *srv = c->srv;
  cw_req_t *req = c->req;
  int none = CW_CLAIM_NONE;
  assert(c->state == CW_CONN_RUN);
  cw_log(CW_LOG_WARNING, "%s:%s: %.*s %.*s took longer than %g s", req->head.peer_addr,
         req->head.peer_port, (int)req->head.method.len, req->head.method.p,
         (int)cw_log_target(req->head.target.p, req->head.target.len),
         req->head.target.p, (double)srv->service.limits.request_timeout / 1000);
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
    cw_account_once(&c->srv->service.account, req);
    shutdown(c->fd, SHUT_WR);
    cw_req_mark_lost(req);
    cw_conn_update_poll(c);
  }
  if (srv->service.host.expired) srv->service.host.expired(srv->service.host.data, req);
  cw_conn_check(c);
}

/* ---- room for others ------------------------------------------------------ */

/* What has come of a head that is not complete. */
static cw_span_t partial_head(const cw_conn_t *c) {
  size_t n = cw_buf_pending(&c->in);
  return n ? (cw_span_t){c->in.p + c->in.off, n} : (cw_span_t){NULL, 0};
}

void cw_exchange_shed(cw_conn_t *c, int status) {
  if (c->state == CW_CONN_PROXY)
    cw_conn_close(c, CW_END_REFUSED);
  else
    cw_exchange_refuse(c, status,
                       "--buffer-memory is used up by requests that come slowly",
                       partial_head(c));
  cw_conn_check(c);
}

void cw_exchange_evict(cw_conn_t *c) {
  cw_span_t head = partial_head(c);
  if (c->state == CW_CONN_HEAD && head.len) {
    cw_refusal_log(c, 408, "the head comes slowly, and others need the place", head);
    cw_account_refused(&c->srv->service.account, cw_conn_client(c), 408, head);
    /* It takes no place any more, whether this can be read or not. */
    (void)send_error(c, 408, cw_is_head_line(head));
  }
  cw_conn_close(c, CW_END_EVICTED);
}
