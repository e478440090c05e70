/* SPDX-License-Identifier: MIT */
/* What is told of requests while they run, and to those that run too long. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/sched_internal.h"

void cw_sched_on_beat(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  const cw_sched_watch_t *w = &s->watch;
  int64_t oldest = 0, now = atomic_load(w->time);
  int overdue = 0;
  pthread_mutex_lock(&s->lock);
  for (int i = 0; i < s->n_threads; i++) {
    int64_t began = s->threads[i].began;
    if (began && (!oldest || began < oldest)) oldest = began;
    /* Any worker can write over this time: the difference must not overflow. */
    int64_t ran = (int64_t)((uint64_t)now - (uint64_t)began);
    overdue += began && w->timeout && ran > w->timeout;
  }
  int64_t loop = s->async.began;
  if (loop && (!oldest || loop < oldest)) oldest = loop;
  bool only_overdue = s->n_app > 0 && s->n_app == overdue && s->n_ready == 0;
  pthread_mutex_unlock(&s->lock);
  /* Others may be sending a request, or be sent a response. */
  if (cw_server_connections(s->srv) > (unsigned)overdue) only_overdue = false;
  w->beat(w->data, oldest);
  if (s->grace >= 0 && only_overdue) {
    cw_log(CW_LOG_WARNING, "%d requests that ran too long cut off", overdue);
    _exit(0);
  }
  cw_server_timer(s->srv, CW_HOST_BEAT, w->beat_ms, cw_sched_on_beat, s);
}

void cw_sched_block_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  for (int sig = 1; sig < SIGRTMIN; sig++) sigaddset(&set, sig);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- deadlines ------------------------------------------------------------ */

/* What keeps the event loop, if it is still in that call. */
static void look_unlocking(cw_sched_t *s) {
  cw_async_t *a = &s->async;
  a->ask = false;
  if (!a->busy || cw_sched_progress_locked(s) != a->call) return;
  pthread_t id = a->self;
  int64_t ms = (cw_now_us() - a->since) / 1000;
  pthread_mutex_unlock(&s->lock);
  s->rt->blocked(id, ms);
  pthread_mutex_lock(&s->lock);
}

/* One thread that is told to interrupt, with the GIL, what runs too long, and to look
 * at what blocks. */
static void *caller_main(void *arg) {
  cw_sched_t *s = arg;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  cw_sched_block_signals();
  pthread_setname_np(pthread_self(), "cwsgi-deadline");
  s->rt->thread_start(0);
  for (;;) {
    cw_event_wait(&s->caller_event);
    s->rt->acquire();
    pthread_mutex_lock(&s->lock);
    bool finished = s->finished;
    if (s->async.ask && !finished) look_unlocking(s);
    /* A thread that is between two calls does not have the GIL to begin the next one:
     * what is overdue now stays so until the interrupt. */
    for (int i = 0; i < s->n_threads && !finished; i++) {
      thread_t *t = &s->threads[i];
      if (!t->overdue) continue;
      t->overdue = false;
      pthread_t id = t->self;
      pthread_mutex_unlock(&s->lock);
      s->rt->interrupt(id);
      pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    s->rt->release();
    if (finished) break;
  }
  s->rt->thread_end();
  return NULL;
}

/* Has the thread that looks after what runs too long look, and makes it. Baton held. */
static void call_caller(cw_sched_t *s) {
  pthread_mutex_lock(&s->lock);
  bool make = !s->has_caller;
  pthread_mutex_unlock(&s->lock);
  /* Only the baton's holder makes it. */
  int rc = make ? pthread_create(&s->caller, NULL, caller_main, s) : 0;
  if (rc != 0)
    cw_log(CW_LOG_WARNING, "cannot look at a request that runs too long: no thread: %s",
           strerror(rc));
  pthread_mutex_lock(&s->lock);
  s->has_caller |= make && rc == 0;
  if (s->has_caller) cw_event_set(&s->caller_event);
  pthread_mutex_unlock(&s->lock);
}

int64_t cw_sched_watch_loop(cw_sched_t *s) {
  cw_async_t *a = &s->async;
  if (!a->on || a->remote) return -1;
  pthread_mutex_lock(&s->lock);
  if (!a->since || cw_sched_progress_locked(s) != a->call) {
    a->call = cw_sched_progress_locked(s);
    a->since = cw_now_us();
    a->told = false;
  }
  bool wanted = s->watch.block_ms && s->rt->blocked;
  int64_t left = s->watch.block_ms - (cw_now_us() - a->since) / 1000;
  bool tell = wanted && a->busy && left <= 0 && !a->told;
  a->told |= tell;
  a->ask |= tell;
  bool again = wanted && a->busy && !a->told;
  pthread_mutex_unlock(&s->lock);
  /* It takes the GIL, which may last. */
  if (tell) call_caller(s);
  return again ? CW_MAX(left, (int64_t)1) : -1;
}

void cw_sched_on_expired(void *data, cw_req_t *req) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  pthread_mutex_lock(&s->lock);
  for (int i = 0; i < s->n_threads; i++)
    if (s->threads[i].req == req) s->threads[i].overdue = true;
  pthread_mutex_unlock(&s->lock);
  if (s->rt->interrupt) call_caller(s);
}
