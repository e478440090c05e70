/* SPDX-License-Identifier: MIT */
/* The thread that runs an event loop of Python's. It holds the baton while it waits,
 * and asks for it back from whoever has taken it meanwhile. Where its loop waits
 * elsewhere the keeper has the baton for good, and tells it by a descriptor. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/forked.h"
#include "base/log.h"
#include "worker/sched_keeper.h"

/* ---- what others tell it --------------------------------------------------------- */

void cw_async_tell_locked(cw_sched_t *s) {
  const uint64_t one = 1;
  cw_async_t *a = &s->async;
  if (a->event_fd < 0) {
    if (a->wants) cw_event_set(&a->event);
    return;
  }
  /* Full means that it is readable, which is all that is wanted. */
  if (write(a->event_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
    cw_log(CW_LOG_CRITICAL, "cannot tell the event loop: %s", strerror(errno));
}

void cw_async_signal_locked(cw_sched_t *s) {
  s->async.signal = true;
  cw_async_tell_locked(s);
}

void cw_async_on_ready(void *data, cw_req_t *req) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  if (!s->async.is_async(s->app->data, req)) {
    cw_sched_on_ready(data, req);
    return;
  }
  cw_req_set_async(req);
  pthread_mutex_lock(&s->lock);
  cw_list_push(&s->async.ready, cw_req_link(req));
  cw_async_tell_locked(s);
  pthread_mutex_unlock(&s->lock);
}

void cw_async_on_roused(void *data, cw_req_t *req) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  pthread_mutex_lock(&s->lock);
  cw_list_t *node = cw_req_roused_link(req);
  if (cw_list_empty(node)) cw_list_push(&s->async.roused, node);
  cw_async_tell_locked(s);
  pthread_mutex_unlock(&s->lock);
}

static void on_fd(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  cw_async_t *a = &s->async;
  pthread_mutex_lock(&s->lock);
  bool mine = !a->busy && !a->wants;
  a->fd_ready = true;
  pthread_mutex_unlock(&s->lock);
  /* Nobody reads it now: it would end every turn. */
  if (mine || a->paused) return;
  a->paused = true;
  cw_server_pause_watch(s->srv, a->fd, true);
}

static void on_due(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  pthread_mutex_lock(&s->lock);
  s->async.due = true;
  pthread_mutex_unlock(&s->lock);
}

static void on_cancel(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  pthread_mutex_lock(&s->lock);
  s->async.cancel = true;
  cw_async_tell_locked(s);
  pthread_mutex_unlock(&s->lock);
}

void cw_async_on_drain(cw_sched_t *s, int64_t grace_ms) {
  /* What is cancelled may have something to clean up, and so has the app's end. */
  enum { LAST_MS = 1000 };
  if (!s->async.on) return;
  int64_t last = CW_MIN(grace_ms / 4, (int64_t)LAST_MS);
  cw_server_timer(s->srv, CW_HOST_CANCEL, grace_ms - last, on_cancel, s);
}

/* ---- its wait -------------------------------------------------------------------- */

static bool has_news_locked(const cw_sched_t *s) {
  const cw_async_t *a = &s->async;
  return !cw_list_empty(&a->ready) || !cw_list_empty(&a->roused) || a->fd_ready ||
         a->signal || a->cancel || s->finished;
}

static void turn(cw_sched_t *s, int64_t ms) {
  cw_async_t *a = &s->async;
  if (CW_UNLIKELY(a->paused)) {
    a->paused = false;
    cw_server_pause_watch(s->srv, a->fd, false);
  }
  if (CW_UNLIKELY(s->held)) cw_sched_share(s);
  if (ms > 0) cw_server_timer(s->srv, CW_HOST_ASYNC, ms, on_due, s);
  cw_sched_turn_for(s, ms != 0);
  if (ms > 0) cw_server_timer(s->srv, CW_HOST_ASYNC, -1, NULL, NULL);
}

/* What there is to know; it goes back to Python. */
static int leave_locked(cw_sched_t *s) {
  cw_async_t *a = &s->async;
  int what = (a->fd_ready ? CW_ASYNC_FD : 0) | (a->cancel ? CW_ASYNC_CANCEL : 0) |
             (s->finished ? CW_ASYNC_FINISHED : 0);
  a->fd_ready = a->signal = a->cancel = false;
  return what;
}

static int wait_for(void *data, int64_t ms) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  cw_async_t *a = &s->async;
  int64_t end = ms > 0 ? cw_now_us() + ms * 1000 : 0;
  if (a->remote) {
    uint64_t n;
    if (read(a->event_fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
      cw_log(CW_LOG_CRITICAL, "the event loop cannot hear: %s", strerror(errno));
    pthread_mutex_lock(&s->lock);
    int what = leave_locked(s);
    s->progress++;
    pthread_mutex_unlock(&s->lock);
    return what;
  }
  pthread_mutex_lock(&s->lock);
  a->busy = false;
  a->began = 0;
  a->due = false;
  s->progress++;
  /* Another worker, full itself, may be about to look for one that is not. */
  if (CW_UNLIKELY(s->full)) cw_sched_tell_full_locked(s, false);
  while (!has_news_locked(s) && !a->due) {
    if (!s->baton) {
      s->baton = true;
      pthread_mutex_unlock(&s->lock);
      turn(s, ms > 0 ? CW_MAX((end - cw_now_us() + 999) / 1000, (int64_t)1) : ms);
      pthread_mutex_lock(&s->lock);
      s->baton = false;
      if (s->n_ready && s->getting == 0) cw_sched_wake_one_unlocking(s);
      if (ms == 0) break;
    } else if (ms == 0) {
      break; /* whoever turns it will tell */
    } else {
      a->wants = s->main_due = true;
      pthread_mutex_unlock(&s->lock);
      cw_server_wake(s->srv);
      cw_event_wait(&a->event);
      pthread_mutex_lock(&s->lock);
      a->wants = s->main_due = false;
    }
  }
  int what = leave_locked(s);
  a->busy = true;
  if (s->watch.time)
    a->began = atomic_load_explicit(s->watch.time, memory_order_relaxed);
  if (!s->baton) cw_keeper_start_tick_locked(s);
  bool keeper = s->want_keeper;
  pthread_mutex_unlock(&s->lock);
  if (CW_UNLIKELY(keeper)) cw_keeper_make(s);
  return what;
}

static cw_req_t *next(void *data, bool *is_new) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  cw_async_t *a = &s->async;
  if (cw_list_empty(&a->taken)) {
    cw_req_t *roused = NULL;
    pthread_mutex_lock(&s->lock);
    if (cw_list_empty(&a->roused)) {
      cw_list_move(&a->taken, &a->ready);
    } else {
      roused = cw_req_of_roused(a->roused.next);
      cw_list_remove(a->roused.next);
    }
    pthread_mutex_unlock(&s->lock);
    *is_new = false;
    if (roused || cw_list_empty(&a->taken)) return roused;
  }
  cw_req_t *req = cw_req_of(a->taken.next);
  cw_list_remove(a->taken.next);
  *is_new = true;
  cw_req_may_hold(req, !a->remote && !cw_list_empty(&a->taken));
  return req;
}

static void unlist(void *data, cw_req_t *req) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  cw_list_t *node = cw_req_roused_link(req);
  /* It is listed under the request's lock, which is held, and taken off here only. */
  if (cw_list_empty(node)) return;
  pthread_mutex_lock(&s->lock);
  cw_list_remove(node);
  pthread_mutex_unlock(&s->lock);
}

/* ---- its calls ------------------------------------------------------------------- */

static void called(void *data, cw_req_t *req) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  atomic_fetch_add(&s->async.n_calls, 1);
  cw_req_started(req);
}

static void ended(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  bool last = atomic_fetch_sub(&s->async.n_calls, 1) == 1;
  /* The last one is what the drain waits for. */
  if (CW_UNLIKELY(atomic_load(&s->stop_grace) >= 0) && last) cw_server_wake(s->srv);
}

static void served(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  if (s->watch.max_requests) {
    pthread_mutex_lock(&s->lock);
    cw_sched_count_unlocking(s);
    pthread_mutex_unlock(&s->lock);
  }
  /* The keeper waits, and was not woken for every end. */
  if (s->async.remote) cw_server_nudge(s->srv);
}

/* Another request has its turn: nothing blocks. */
static void step(cw_sched_t *s) {
  atomic_uint *n = &s->async.n_steps;
  /* Its only writer. */
  atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                        memory_order_relaxed);
  if (CW_LIKELY(!cw_sched_turn_is_due(s))) return;
  pthread_mutex_lock(&s->lock);
  cw_sched_turn_between_unlocking(s);
  if (s->n_ready && s->getting == 0) cw_sched_wake_one_unlocking(s);
  pthread_mutex_unlock(&s->lock);
}

static void note(void *data, const cw_req_t *req) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  cw_async_t *a = &s->async;
  if (req == a->noted) return;
  a->noted = req;
  if (req) step(s);
  cw_sched_note_running(s, CW_RUNNING - 1, req);
}

static void paused(void *data, cw_req_t *req) {
  const cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  note(data, NULL);
  /* It goes on in a round of the event loop, and a turn follows each. */
  cw_req_may_hold(req, !s->async.remote);
}

void cw_sched_async_host(cw_sched_t *s, cw_async_host_t *host) {
  *host = (cw_async_host_t){.data = s,
                            .wait = wait_for,
                            .next = next,
                            .unlist = unlist,
                            .called = called,
                            .ended = ended,
                            .served = served,
                            .note = note,
                            .paused = paused};
}

/* ---- life ------------------------------------------------------------------------ */

int cw_sched_set_async(cw_sched_t *s, bool (*is_async)(void *data, cw_req_t *req),
                       bool remote) {
  cw_async_t *a = &s->async;
  a->is_async = is_async;
  a->remote = remote;
  if (remote) {
    a->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (a->event_fd < 0) return -errno;
    cw_private_add(a->event_fd);
  }
  a->on = true;
  return 0;
}

int cw_sched_async_fd(const cw_sched_t *s) {
  return s->async.event_fd;
}

int cw_sched_async_begin(cw_sched_t *s, int fd) {
  cw_async_t *a = &s->async;
  cw_sched_open(s);
  a->fd = fd;
  a->self = pthread_self();
  a->busy = true;
  int rc = fd >= 0 ? cw_server_watch(s->srv, fd, on_fd, s) : 0;
  if (rc != 0 || !a->remote) return rc;
  pthread_mutex_lock(&s->lock);
  cw_keeper_kick_locked(s);
  pthread_mutex_unlock(&s->lock);
  cw_keeper_make(s);
  return s->has_keeper ? 0 : -EAGAIN;
}

void cw_sched_async_end(cw_sched_t *s) {
  cw_sched_join(s, -1);
}
