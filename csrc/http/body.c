/* SPDX-License-Identifier: MIT */
/* Request bodies: the loop fills a buffer, the running thread empties it. */
#include <string.h>

#include "base/decimal.h"
#include "http/body.h"
#include "http/checks.h"
#include "http/request.h"

/* ---- the thread's half ---------------------------------------------------- */

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
  if (resume) cw_post(&req->service->posts, &req->post, CW_POST_RESUME, true);
  if (result == CW_WAIT && req->expect_continue && !req->continue_sent) {
    req->continue_sent = true;
    req->stream->want_body(req);
    if (atomic_load(&req->lost)) return CW_LOST;
  }
  return result;
}

int64_t cw_body_left(const cw_req_t *req) {
  if (req->head.content_length >= 0) return req->head.content_length - req->body.taken;
  return req->head.chunked ? -1 : 0;
}

bool cw_body_untouched(cw_req_t *req) {
  if (!req->head.chunked || req->body.taken) return false;
  pthread_mutex_lock(&req->lock);
  bool any = cw_buf_pending(&req->body.buf) > 0;
  pthread_mutex_unlock(&req->lock);
  return any;
}

size_t cw_body_available(cw_req_t *req, bool *ended) {
  pthread_mutex_lock(&req->lock);
  size_t n = cw_buf_pending(&req->body.buf);
  *ended = req->body.complete;
  pthread_mutex_unlock(&req->lock);
  return n;
}

const char *cw_body_error(cw_req_t *req, int *status) {
  pthread_mutex_lock(&req->lock);
  const char *why = atomic_load(&req->lost) ? NULL : req->body.why;
  if (status) *status = req->body.status;
  pthread_mutex_unlock(&req->lock);
  return why;
}

/* ---- the loop's half ------------------------------------------------------ */

const char *cw_body_too_slow(cw_req_t *req, uint32_t window, bool moved) {
  cw_body_t *b = &req->body;
  const cw_limits_t *l = &req->service->limits;
  b->awaited += window;
  b->silent = moved ? 0 : b->silent + window;
  /* Where any pause will do no rate can be asked for. */
  if (l->body_pause == 0) return NULL;
  if (b->silent >= l->body_pause)
    return "the request's body paused for longer than --body-timeout";
  /* A pause may come at any time, also at the begin: it is granted once. */
  int64_t counted = (int64_t)b->awaited - l->body_pause;
  if (counted > 0 && b->received < l->rate * counted / 1000)
    return "the request's body came more slowly than --body-rate";
  return NULL;
}

/* Hands body bytes on. Returns false where they cannot be kept. */
static bool deliver(cw_req_t *req, cw_span_t data, cw_body_use_t use) {
  cw_body_t *b = &req->body;
  b->received += (int64_t)data.len;
  if (use == CW_BODY_SKIP) return b->received - b->taken <= CW_SKIP_MAX;
  pthread_mutex_lock(&req->lock);
  bool ok = cw_buf_append(&b->buf, data.p, data.len) == 0;
  if (ok && use == CW_BODY_STREAM && cw_buf_pending(&b->buf) >= CW_BODY_HIGH)
    b->paused = true;
  if (ok && req->waiting) cw_req_rouse_locked(req);
  pthread_mutex_unlock(&req->lock);
  return ok;
}

static void complete(cw_req_t *req) {
  pthread_mutex_lock(&req->lock);
  req->body.complete = true;
  if (req->waiting) cw_req_rouse_locked(req);
  pthread_mutex_unlock(&req->lock);
}

void cw_body_break(cw_req_t *req, int status, const char *why) {
  pthread_mutex_lock(&req->lock);
  req->body.broken = true;
  req->body.status = status;
  req->body.why = why;
  if (req->waiting || req->watched) cw_req_rouse_locked(req);
  pthread_mutex_unlock(&req->lock);
  atomic_store(&req->post.attention, true);
}

void cw_body_set_length(cw_req_t *req) {
  cw_head_t *h = &req->head;
  char *text = cw_arena_alloc(&req->arena, CW_DECIMAL_MAX);
  if (!text) return;
  size_t n = cw_decimal(text, (uint64_t)req->body.received);
  for (unsigned i = 0; i < h->n_fields; i++)
    if (cw_span_is(h->fields[i].name, "transfer-encoding"))
      h->fields[i] = (cw_field_t){{"Content-Length", 14}, {text, n}};
  h->chunked = false;
  h->content_length = req->body.received;
}

static size_t feed_chunks(cw_req_t *req, const char *p, size_t n, cw_body_use_t use,
                          int *status) {
  cw_body_t *b = &req->body;
  int64_t limit = req->service->limits.body;
  size_t used = 0;
  while (used < n && !cw_chunked_done(&b->chunked)) {
    cw_span_t data;
    ssize_t k = cw_chunked_next(&b->chunked, p + used, n - used, &data);
    if (k < 0) {
      *status = 400;
      return n;
    }
    used += (size_t)k;
    /* The size line alone can tell. */
    if (limit && b->received + (int64_t)(data.len + b->chunked.left) > limit) {
      *status = 413;
      return n;
    }
    if (data.len == 0) continue;
    if (!deliver(req, data, use)) {
      *status = 503;
      return n;
    }
  }
  if (cw_chunked_done(&b->chunked)) complete(req);
  return used;
}

void cw_body_keep_block(cw_req_t *req, char *block, const char *p) {
  cw_body_t *b = &req->body;
  size_t off = (size_t)(p - block);
  b->buf = (cw_buf_t){block, off, off + (size_t)b->left, CW_READ_SIZE};
  b->block = true;
  b->received = b->left;
  b->left = 0;
  b->complete = true;
}

void cw_body_free(cw_req_t *req) {
  cw_body_t *b = &req->body;
  if (CW_UNLIKELY(b->block)) {
    cw_block_give(&req->service->blocks, b->buf.p);
    b->buf = (cw_buf_t){0};
    b->block = false;
  }
  cw_buf_free(&b->buf);
}

size_t cw_body_feed(cw_req_t *req, const char *p, size_t n, cw_body_use_t use,
                    int *status) {
  cw_body_t *b = &req->body;
  if (req->head.chunked) return feed_chunks(req, p, n, use, status);
  size_t run = (size_t)CW_MIN((int64_t)n, b->left);
  b->left -= (int64_t)run;
  if (!deliver(req, (cw_span_t){p, run}, use)) {
    *status = 503;
    return n;
  }
  if (b->left == 0) complete(req);
  return run;
}
