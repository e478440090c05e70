/* SPDX-License-Identifier: MIT */
/* Waits of a running request: by a thread of its own, or, without one, by the word of
 * its host. */
#include "base/clock.h"
#include "http/request.h"

void cw_req_wait_nogil(cw_req_t *req) {
  const cw_host_t *host = &req->service->host;
  host->blocking(host->data);
  cw_event_wait(&req->event);
  pthread_mutex_lock(&req->lock);
  req->waiting = false;
  pthread_mutex_unlock(&req->lock);
}

void cw_req_mark_lost(cw_req_t *req) {
  pthread_mutex_lock(&req->lock);
  atomic_store(&req->lost, true);
  req->body.broken |= !req->body.complete;
  if (req->waiting || req->watched) cw_req_rouse_locked(req);
  pthread_mutex_unlock(&req->lock);
  atomic_store(&req->post.attention, true);
}

void cw_req_rouse_locked(cw_req_t *req) {
  const cw_host_t *host = &req->service->host;
  if (!req->async) {
    cw_event_set(&req->event);
    return;
  }
  req->waiting = false;
  atomic_store_explicit(&req->service->roused, true, memory_order_relaxed);
  host->roused(host->data, req);
}

bool cw_req_rouse_overdue(cw_req_t *req) {
  pthread_mutex_lock(&req->lock);
  bool async = req->async;
  if (async) {
    atomic_store(&req->overdue, true);
    cw_req_rouse_locked(req);
  }
  pthread_mutex_unlock(&req->lock);
  return async;
}

void cw_req_mark_eof(cw_req_t *req) {
  atomic_store(&req->eof_at, cw_now_us());
  atomic_store(&req->post.attention, true);
  pthread_mutex_lock(&req->lock);
  if (req->watched) cw_req_rouse_locked(req);
  pthread_mutex_unlock(&req->lock);
}

void cw_req_set_async(cw_req_t *req) {
  /* Nobody else has it yet. */
  req->async = true;
  req->owner = NULL;
}

void cw_req_end_async(cw_req_t *req, void (*unlist)(void *data, cw_req_t *req),
                      void *data) {
  pthread_mutex_lock(&req->lock);
  /* It goes back to the pool so. */
  req->async = req->watched = req->waiting = false;
  atomic_store(&req->overdue, false);
  unlist(data, req);
  pthread_mutex_unlock(&req->lock);
}

void cw_req_set_owner(cw_req_t *req, void *owner) {
  req->owner = owner;
}

void *cw_req_owner(const cw_req_t *req) {
  return req->owner;
}

void cw_req_watch_client(cw_req_t *req) {
  pthread_mutex_lock(&req->lock);
  req->watched = true;
  pthread_mutex_unlock(&req->lock);
}

bool cw_req_overdue(const cw_req_t *req) {
  return atomic_load(&req->overdue);
}

bool cw_req_half_closed(const cw_req_t *req) {
  return atomic_load(&req->eof_at) != 0;
}
