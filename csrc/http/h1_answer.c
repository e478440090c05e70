/* SPDX-License-Identifier: MIT */
/* Answers of HTTP/1.1 that no thread gives: refusals, and those for want of time or
 * room. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/body.h"
#include "http/checks.h"
#include "http/h1.h"
#include "http/out.h"
#include "http/probe.h"
#include "http/reason.h"
#include "http/refusals.h"
#include "http/server_internal.h"

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

void cw_h1_refuse(cw_conn_t *c, int status, const char *why, cw_span_t line) {
  CW_ASSERT_BATON(c->srv);
  cw_account_t *account = &c->srv->service.account;
  cw_req_t *req = cw_h1_of(c)->req;
  bool is_head = req ? cw_is_head(req->head.method) : cw_is_head_line(line);
  cw_refusal_log(c, req, status, why, line);
  if (req) {
    req->answered = status;
    cw_account_once(account, req);
  } else {
    cw_account_refused(account, cw_conn_client(c), status, line);
  }
  if (send_error(c, status, is_head))
    cw_conn_linger(c, CW_END_REFUSED);
  else
    cw_conn_close(c, CW_END_REFUSED);
}

void cw_h1_break_body(cw_conn_t *c, int status, const char *why) {
  CW_ASSERT_BATON(c->srv);
  const cw_h1_conn_t *h = cw_h1_of(c);
  const cw_head_t *head = &h->req->head;
  if (h->state == CW_H1_BODY) {
    cw_h1_refuse(c, status, why, (cw_span_t){NULL, 0});
    return;
  }
  cw_log(CW_LOG_INFO, "%s:%s: %s: %.*s %.*s", head->peer_addr, head->peer_port, why,
         (int)head->method.len, head->method.p, (int)CW_MIN(head->path.len, 1000u),
         head->path.p);
  if (h->state == CW_H1_RUN)
    cw_body_break(h->req, status, why);
  else /* SKIP: the response is out, and must not be reset under way */
    cw_conn_linger(c, status == 408 ? CW_END_SLOW_BODY : CW_END_BAD_BODY);
}

void cw_h1_on_deadline(cw_conn_t *c, cw_req_t *req) {
  CW_ASSERT_BATON(c->srv);
  const cw_service_t *service = req->service;
  int none = CW_CLAIM_NONE;
  assert(cw_h1_of(c)->state == CW_H1_RUN);
  cw_log(CW_LOG_WARNING, "%s:%s: %.*s %.*s took longer than %g s", req->head.peer_addr,
         req->head.peer_port, (int)req->head.method.len, req->head.method.p,
         (int)cw_log_target(req->head.target.p, req->head.target.len),
         req->head.target.p, (double)service->limits.request_timeout / 1000);
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
  if (!cw_req_rouse_overdue(req) && service->host.expired)
    service->host.expired(service->host.data, req);
}

/* What has come of a head that is not complete. */
static cw_span_t partial_head(const cw_conn_t *c) {
  size_t n = cw_buf_pending(&c->in);
  return n ? (cw_span_t){c->in.p + c->in.off, n} : (cw_span_t){NULL, 0};
}

void cw_h1_shed(cw_conn_t *c, int status) {
  cw_h1_refuse(c, status, "--buffer-memory is used up by requests that come slowly",
               partial_head(c));
}

void cw_h1_evict(cw_conn_t *c) {
  cw_span_t head = partial_head(c);
  if (cw_h1_of(c)->state == CW_H1_HEAD && head.len) {
    cw_refusal_log(c, NULL, 408, "the head comes slowly, and others need the place",
                   head);
    cw_account_refused(&c->srv->service.account, cw_conn_client(c), 408, head);
    /* It takes no place any more, whether this can be read or not. */
    (void)send_error(c, 408, cw_is_head_line(head));
  }
  cw_conn_close(c, CW_END_EVICTED);
}

/* ---- health and metrics --------------------------------------------------- */

/* Sends an answer of the server's own to a request that no thread is to see. */
static void respond(cw_conn_t *c, const cw_probe_t *probe) {
  char head[256];
  cw_req_t *req = cw_h1_of(c)->req;
  cw_resp_t *r = &req->resp;
  size_t len = cw_buf_pending(&probe->body);
  bool is_head = cw_is_head(req->head.method);
  /* Probes and scrapes are neither counted nor logged. */
  req->accounted = true;
  r->close = !req->persistent || c->srv->service.draining || c->listener->metrics ||
             c->spare || c->srv->service.limits.idle == 0 || !req->body.complete;
  int n = snprintf(head, sizeof(head),
                   "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                   "%sDate: %s\r\n\r\n",
                   probe->status, cw_reason(probe->status), probe->type, len,
                   r->close               ? "Connection: close\r\n"
                   : req->head.minor == 0 ? "Connection: keep-alive\r\n"
                                          : "",
                   cw_http_date());
  if (probe->status == 0 || cw_buf_append(&req->out.buf, head, (size_t)n) != 0 ||
      cw_buf_append(&req->out.buf, probe->body.p, is_head ? 0 : len) != 0) {
    cw_conn_close(c, CW_END_NO_MEMORY);
    return;
  }
  cw_h1_set_state(c, CW_H1_FLUSH);
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
  } else if (cw_h1_end_response(c)) {
    cw_h1_become_idle(c);
  }
}

bool cw_h1_answer_probe(cw_conn_t *c) {
  CW_ASSERT_BATON(c->srv);
  cw_probe_t probe;
  /* Its head is here. A scrape lets others go on, whom a slow one might make room for.
   */
  cw_timer_stop(&c->timer);
  if (!cw_probe_answer(c, cw_h1_of(c)->req, &probe)) return false;
  respond(c, &probe);
  cw_buf_free(&probe.body);
  return true;
}
