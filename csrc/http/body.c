/* SPDX-License-Identifier: MIT */
/* Request bodies as the running thread reads them. The loop's half, which fills the
 * buffer, is in conn.c. */
#include "http/http_internal.h"

#include <string.h>
#include <sys/socket.h>

/* The client waits for this before it sends its body. Small, and nothing else is under
 * way on the socket, so it fits; if not, the client sends after its own time-out. */
static void send_continue(cw_req_t *req) {
  static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
  req->continue_sent = true;
  if (req->resp.sent) return;
  /* The lock keeps it in front of a 504 that the loop may be about to send. */
  pthread_mutex_lock(&req->lock);
  if (!atomic_load(&req->lost) &&
      send(req->conn->fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) !=
          (ssize_t)sizeof(text) - 1)
    atomic_store(&req->lost, true);
  pthread_mutex_unlock(&req->lock);
}

ssize_t cw_body_take(cw_req_t *req, char *buf, size_t n, bool line) {
  cw_body_t *b = &req->body;
  ssize_t result;
  bool resume = false;
  if (n == 0) return 0;
  pthread_mutex_lock(&req->lock);
  size_t have = cw_buf_pending(&b->buf);
  if (have) {
    const char *p = b->buf.p + b->buf.off;
    n = CW_MIN(n, have);
    if (line) {
      const char *lf = memchr(p, '\n', n);
      if (lf) n = (size_t)(lf - p) + 1;
    }
    memcpy(buf, p, n);
    cw_buf_consume(&b->buf, n);
    b->taken += (int64_t)n;
    if (b->paused && cw_buf_pending(&b->buf) < CW_BODY_HIGH / 2) {
      b->paused = false;
      resume = true;
    }
    result = (ssize_t)n;
  } else if (b->complete) {
    result = 0;
  } else if (b->broken || atomic_load(&req->lost)) {
    result = CW_LOST;
  } else {
    req->waiting = true;
    result = CW_WAIT;
  }
  pthread_mutex_unlock(&req->lock);
  if (resume) cw_server_post(req, CW_POST_RESUME, true);
  if (result == CW_WAIT && req->expect_continue && !req->continue_sent) {
    send_continue(req);
    if (atomic_load(&req->lost)) return CW_LOST;
  }
  return result;
}

int64_t cw_body_left(const cw_req_t *req) {
  if (req->head.content_length >= 0) return req->head.content_length - req->body.taken;
  return req->head.chunked ? -1 : 0;
}
