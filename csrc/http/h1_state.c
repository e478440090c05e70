/* SPDX-License-Identifier: MIT */
/* The states of HTTP/1.1 on a connection, and how one exchange ends. */
#include <assert.h>

#include "http/body.h"
#include "http/h1.h"
#include "http/server_internal.h"

#define TO(state) (1u << CW_H1_##state)

/* Where each state may go. */
static const unsigned moves[CW_H1_STATES] = {
    [CW_H1_HEAD] = TO(BODY) | TO(RUN) | TO(FLUSH),
    [CW_H1_IDLE] = TO(HEAD),
    [CW_H1_BODY] = TO(RUN),
    [CW_H1_RUN] = TO(FLUSH),
    [CW_H1_FLUSH] = TO(IDLE) | TO(SKIP),
    [CW_H1_SKIP] = TO(IDLE),
};

void cw_h1_set_state(cw_conn_t *c, cw_h1_state_t state) {
  CW_ASSERT_BATON(c->srv);
  cw_h1_conn_t *h = cw_h1_of(c);
  bool legal = moves[h->state] & 1u << state;
  assert(legal);
  (void)legal;
  h->state = (uint8_t)state;
}

void cw_h1_become_idle(cw_conn_t *c) {
  cw_h1_set_state(c, CW_H1_IDLE);
  /* The answer may have left before the drain began: it promised to keep the
   * connection, and a client that believed it has its next request under way. */
  cw_conn_start_timer(c, c->srv->service.draining ? CW_TIMER_DRAIN : CW_TIMER_IDLE);
  cw_server_made_room(c->srv);
}

void cw_h1_let_go(cw_conn_t *c) {
  CW_ASSERT_BATON(c->srv);
  cw_h1_conn_t *h = cw_h1_of(c);
  cw_req_free(h->req);
  h->req = NULL;
}

bool cw_h1_is_framed(const cw_req_t *req) {
  return req->resp.chunked || req->resp.length >= 0 || req->resp.no_body;
}

bool cw_h1_end_response(cw_conn_t *c) {
  CW_ASSERT_BATON(c->srv);
  cw_req_t *req = cw_h1_of(c)->req;
  cw_timer_stop(&c->timer);
  c->want_write = false;
  if (req->resp.close) {
    /* A client that asked for the end sends nothing more: no need to wait for it. */
    if (!req->persistent && req->body.complete && !cw_buf_pending(&c->in))
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
    cw_body_free(req);
    cw_h1_set_state(c, CW_H1_SKIP);
    cw_conn_start_window(c, CW_TIMER_BODY);
    cw_conn_update_poll(c);
    return false;
  }
  cw_h1_let_go(c);
  return true;
}
