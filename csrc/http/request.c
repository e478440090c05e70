/* SPDX-License-Identifier: MIT */
/* A request's memory, and the calls of app.h that are about it as a whole. */
#include "http/request.h"
#include "http/body.h"
#include "http/out.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "http/server.h"

enum { POOL = 64 }; /* requests kept for reuse */

cw_req_t *cw_req_new(cw_service_t *service, const cw_stream_t *stream, int fd) {
  cw_req_t *req;
  if (!cw_list_empty(&service->pool)) {
    req = CW_CONTAINER(service->pool.next, cw_req_t, post.node);
    cw_list_remove(&req->post.node);
    service->n_pool--;
  } else {
    req = cw_malloc(sizeof(*req));
    if (!req) return NULL;
    req->first_block = cw_malloc(CW_REQ_ARENA);
    if (!req->first_block) {
      free(req);
      return NULL;
    }
    req->ws = NULL;
    cw_list_init(&req->post.node);
    pthread_mutex_init(&req->lock, NULL);
    cw_event_init(&req->event);
    cw_arena_init(&req->arena, req->first_block, CW_REQ_ARENA);
    cw_timer_init(&req->deadline);
    req->resp.head = (cw_buf_t){0};
    req->async = req->watched = false;
    atomic_init(&req->overdue, false);
    cw_list_init(&req->roused);
  }
  CW_TAG_SET(req, CW_TAG_REQ);
  req->head = (cw_head_t){.content_length = -1};
  req->service = service;
  req->stream = stream;
  req->fd = fd;
  req->conn = NULL;
  req->trusted = false;
  req->persistent = req->expect_continue = req->continue_sent = false;
  req->held = false;
  req->post.posted = false;
  req->post.what = 0;
  req->waiting = false;
  req->body = (cw_body_t){.complete = true};
  req->out = (cw_out_t){.file_fd = -1};
  cw_buf_t head = req->resp.head;
  head.off = head.len = 0;
  req->resp = (cw_resp_t){.head = head, .length = -1};
  req->failed = req->claimed = req->accounted = req->taken_over = false;
  req->head_at = req->ready_at = req->started_at = req->done_at = 0;
  req->head_len = 0;
  req->bytes_sent = 0;
  req->answered = 0;
  req->log_fields = req->log_environ = NULL;
  atomic_store_explicit(&req->claim, CW_CLAIM_NONE, memory_order_relaxed);
  atomic_store_explicit(&req->lost, false, memory_order_relaxed);
  atomic_store_explicit(&req->may_hold, false, memory_order_relaxed);
  atomic_store_explicit(&req->post.attention, false, memory_order_relaxed);
  atomic_store_explicit(&req->eof_at, 0, memory_order_relaxed);
  atomic_store_explicit(&req->event.set, 0, memory_order_relaxed);
  return req;
}

static void destroy(cw_req_t *req) {
  cw_buf_free(&req->resp.head);
  pthread_mutex_destroy(&req->lock);
  free(req->first_block);
  free(req);
}

/* Gives up all that it holds, but its own memory. */
static inline void release(cw_req_t *req) {
  cw_service_t *service = req->service;
  CW_TAG_CHECK(req, CW_TAG_REQ);
  CW_TAG_SET(req, 0); /* in the pool it is none */
  assert(!req->ws);
  if (CW_UNLIKELY(service->limits.request_timeout > 0)) cw_timer_stop(&req->deadline);
  cw_arena_reset(&req->arena);
  cw_body_free(req);
  cw_buf_free(&req->out.buf);
  if (req->out.file_fd >= 0) close(req->out.file_fd);
  req->out.file_fd = -1;
}

void cw_req_free(cw_req_t *req) {
  cw_service_t *service = req->service;
  release(req);
  if (req->resp.head.cap > CW_REQ_ARENA) cw_buf_free(&req->resp.head);
  if (service->n_pool == POOL) {
    destroy(req);
    return;
  }
  cw_list_push(&service->pool, &req->post.node);
  service->n_pool++;
}

void cw_req_discard(cw_req_t *req) {
  release(req);
  destroy(req);
}

void cw_req_replace_arena(cw_req_t *req, void *block) {
  cw_arena_reset(&req->arena);
  free(req->first_block);
  req->first_block = block;
  cw_arena_init(&req->arena, block, 0);
}

void cw_req_empty_pool(cw_service_t *service) {
  while (!cw_list_empty(&service->pool)) {
    cw_req_t *req = CW_CONTAINER(service->pool.next, cw_req_t, post.node);
    cw_list_remove(&req->post.node);
    destroy(req);
  }
  service->n_pool = 0;
}

cw_list_t *cw_req_link(cw_req_t *req) {
  return &req->post.node;
}

cw_req_t *cw_req_of(cw_list_t *link) {
  cw_req_t *req = CW_CONTAINER(link, cw_req_t, post.node);
  CW_TAG_CHECK(req, CW_TAG_REQ);
  return req;
}

cw_list_t *cw_req_roused_link(cw_req_t *req) {
  return &req->roused;
}

cw_req_t *cw_req_of_roused(cw_list_t *link) {
  cw_req_t *req = CW_CONTAINER(link, cw_req_t, roused);
  CW_TAG_CHECK(req, CW_TAG_REQ);
  return req;
}

void cw_req_may_hold(cw_req_t *req, bool may) {
  atomic_store_explicit(&req->may_hold, may, memory_order_relaxed);
}

const cw_head_t *cw_req_head(const cw_req_t *req) {
  return &req->head;
}

bool cw_req_expired(const cw_req_t *req) {
  return atomic_load_explicit(&req->claim, memory_order_relaxed) == CW_CLAIM_LOOP;
}

bool cw_req_abandoned(const cw_req_t *req) {
  enum { PATIENCE_US = 1000 * 1000 };
  if (atomic_load_explicit(&req->lost, memory_order_relaxed)) return true;
  int64_t at = atomic_load_explicit(&req->eof_at, memory_order_relaxed);
  return at && cw_now_us() - at > PATIENCE_US;
}

/* Whether the loop still sends a part of an interim response; no new one comes while
 * the thread that asks does nothing else. */
static bool is_sending(cw_req_t *req) {
  pthread_mutex_lock(&req->lock);
  bool sending = cw_out_pending(req) > 0;
  pthread_mutex_unlock(&req->lock);
  return sending;
}

int cw_req_take_over(cw_req_t *req) {
  cw_resp_t *r = &req->resp;
  if (!req->head.upgrade || req->followed || r->sent || is_sending(req) ||
      !cw_req_claim(req))
    return -1;
  int fd = req->stream->take_over(req);
  if (fd < 0) return -1;
  req->taken_over = true;
  /* As far as we are concerned it is answered. */
  r->started = false;
  r->status = 101;
  r->sent = r->ended = r->close = true;
  return fd;
}

bool cw_req_taken_over(const cw_req_t *req) {
  return req->taken_over;
}

void cw_req_finish(cw_req_t *req, bool complete) {
  cw_resp_t *r = &req->resp;
  cw_account_t *account = &req->service->account;
  CW_TAG_CHECK(req, CW_TAG_REQ);
  if (!r->sent && !cw_req_expired(req)) {
    /* The error page is a whole response. */
    cw_resp_error(req, 500);
    complete = true;
  }
  req->failed = !complete || !r->ended;
  pthread_mutex_lock(&req->lock);
  bool urgent =
      cw_out_pending(req) || !req->body.complete || cw_buf_pending(&req->body.buf);
  pthread_mutex_unlock(&req->lock);
  urgent |= req->failed || r->close;
  if (account->timed) {
    req->done_at = cw_now_us();
    if (req->started_at) cw_account_finished(account);
    /* The line is written now, not when the next client comes. */
    urgent = true;
  }
  cw_post(&req->service->posts, &req->post, CW_POST_DONE, urgent);
}
