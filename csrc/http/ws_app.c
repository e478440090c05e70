/* SPDX-License-Identifier: MIT */
/* What the app does with an open WebSocket. All in the thread that runs its request. */
#include <stdlib.h>
#include <string.h>

#include "http/out.h"
#include "http/ws_socket.h"

static void count(cw_req_t *req, bool sent, size_t bytes) {
  cw_account_t *acc = &req->service->account;
  if (!acc->counted) return;
  cw_metrics_t *m = acc->metrics;
  cw_metric_add_shared(sent ? &m->ws_sent : &m->ws_received, 1);
  cw_metric_add_shared(sent ? &m->ws_sent_bytes : &m->ws_received_bytes, bytes);
}

/* ---- receiving ------------------------------------------------------------------ */

/* Takes the first message. Returns whether reading may go on. */
static bool take_locked(cw_req_t *req, cw_ws_data_t **out) {
  cw_ws_t *ws = req->ws;
  cw_ws_data_t *m = ws->first;
  ws->first = m->next;
  if (!ws->first) ws->last = &ws->first;
  ws->queued--;
  ws->queued_bytes -= m->len;
  *out = m;
  if (!ws->paused || ws->queued > req->service->limits.ws_queue / 2 ||
      ws->queued_bytes > CW_WS_QUEUE_HIGH / 2)
    return false;
  ws->paused = false;
  return true;
}

/* What is said at the end. */
static void take_close_locked(const cw_ws_t *ws, cw_ws_message_t *out) {
  *out = (cw_ws_message_t){.kind = CW_WS_CLOSED, .code = ws->code};
  out->data = (cw_span_t){ws->reason ? ws->reason : "", ws->reason_len};
}

int cw_ws_receive(cw_req_t *req, cw_ws_message_t *out) {
  const cw_ws_t *ws = req->ws;
  cw_ws_data_t *m = NULL;
  bool resume = false;
  int rc = CW_OK;
  if (CW_UNLIKELY(!ws->shrunk) && atomic_load(&ws->opened)) cw_ws_shrink(req);
  *out = (cw_ws_message_t){.kind = CW_WS_CLOSED};
  pthread_mutex_lock(&req->lock);
  if (ws->first) {
    resume = take_locked(req, &m);
  } else if (ws->closed) {
    take_close_locked(ws, out);
  } else if (atomic_load(&req->lost)) {
    out->code = CW_WS_LOST;
    out->data = (cw_span_t){"", 0};
  } else {
    req->waiting = true;
    rc = CW_WAIT;
  }
  pthread_mutex_unlock(&req->lock);
  if (resume) cw_post(&req->service->posts, &req->post, CW_POST_RESUME, true);
  if (!m) return rc;
  count(req, false, m->len);
  *out = (cw_ws_message_t){.kind = m->text ? CW_WS_TEXT : CW_WS_BINARY,
                           .data = {m->bytes, m->len},
                           .memory = m};
  return CW_OK;
}

void cw_ws_message_free(cw_ws_message_t *m) {
  free(m->memory);
  *m = (cw_ws_message_t){.kind = CW_WS_CLOSED};
}

/* ---- sending ----------------------------------------------------------- */

/* Whether a message may be sent now. */
static int look_locked(cw_req_t *req) {
  if (req->ws->close_sent || req->ws->closed || atomic_load(&req->lost)) return CW_LOST;
  if (cw_out_pending(req) < CW_OUT_HIGH) return CW_OK;
  req->waiting = true;
  return CW_WAIT;
}

static int send_compressed(cw_req_t *req, cw_ws_opcode_t opcode, const char *data,
                           size_t n) {
  cw_buf_t payload = {0};
  pthread_mutex_lock(&req->lock);
  int rc = look_locked(req);
  pthread_mutex_unlock(&req->lock);
  if (rc != CW_OK) return rc;
  /* What went into a state that lasts has to be sent: from here on it is, or nothing
   * more. */
  if (cw_ws_deflate(&req->ws->deflate, data, n, &payload) != 0) {
    atomic_store(&req->lost, true);
    rc = CW_NOMEM;
  }
  pthread_mutex_lock(&req->lock);
  if (rc == CW_OK && req->ws->close_sent) rc = CW_LOST;
  if (rc == CW_OK) rc = cw_ws_put_locked(req, opcode, true, payload.p, payload.len);
  pthread_mutex_unlock(&req->lock);
  cw_buf_free(&payload);
  return rc;
}

static int send_plain(cw_req_t *req, cw_ws_opcode_t opcode, const char *data,
                      size_t n) {
  pthread_mutex_lock(&req->lock);
  int rc = look_locked(req);
  if (rc == CW_OK) rc = cw_ws_put_locked(req, opcode, false, data, n);
  pthread_mutex_unlock(&req->lock);
  return rc;
}

int cw_ws_send(cw_req_t *req, bool text, const char *data, size_t n) {
  cw_ws_opcode_t opcode = text ? CW_WS_OP_TEXT : CW_WS_OP_BINARY;
  int rc = cw_ws_deflate_pays(&req->ws->deflate, n)
               ? send_compressed(req, opcode, data, n)
               : send_plain(req, opcode, data, n);
  if (rc == CW_OK) {
    req->resp.body_sent += (int64_t)n;
    count(req, true, n);
  }
  return rc;
}

int cw_ws_close(cw_req_t *req, int code, const char *reason, size_t n) {
  cw_ws_utf8_t utf8 = {0};
  if (!cw_ws_is_code(code) || n > CW_WS_REASON_MAX ||
      !cw_ws_utf8_feed(&utf8, reason, n) || !cw_ws_utf8_is_whole(&utf8))
    return CW_BAD;
  pthread_mutex_lock(&req->lock);
  bool late = req->ws->close_sent || req->ws->closed || atomic_load(&req->lost);
  if (!late) {
    cw_ws_put_close_locked(req, code, reason, n);
    cw_ws_note_closed_locked(req, code, reason, n);
  }
  pthread_mutex_unlock(&req->lock);
  if (late) return CW_LOST;
  cw_post(&req->service->posts, &req->post, CW_POST_CLOSE, true);
  return CW_OK;
}
