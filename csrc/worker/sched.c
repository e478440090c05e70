/* SPDX-License-Identifier: MIT */
/* The baton scheduler: app threads, and its life. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/forked.h"
#include "base/log.h"
#include "worker/sched_keeper.h"

enum {
  SUSPECT_US = 200, /* a call this long is worth a look at whether it blocked */
  PROBES = 8,       /* calls that are looked at then */
  SCORE_MAX = 32,
  STACK = 1024 * 1024 * 8,
};

static void *thread_main(void *arg);

/* Voluntary context switches of this thread: did it block? */
static long blocks(void) {
  struct rusage ru;
  return getrusage(RUSAGE_THREAD, &ru) == 0 ? ru.ru_nvcsw : 0;
}

/* ---- app threads ---------------------------------------------------------- */

/* Makes the next thread, which goes for the GIL. Gives the lock up meanwhile; nobody
 * else makes one then. */
static bool make_thread_unlocking(cw_sched_t *s) {
  thread_t *t = &s->threads[s->n_threads++];
  pthread_attr_t attr;
  s->making = true;
  t->getting = true;
  s->getting++;
  pthread_mutex_unlock(&s->lock);
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, STACK);
  int rc = pthread_create(&t->id, &attr, thread_main, t);
  pthread_attr_destroy(&attr);
  if (rc != 0) cw_log(CW_LOG_WARNING, "cannot start a thread: %s", strerror(rc));
  pthread_mutex_lock(&s->lock);
  s->making = false;
  if (rc == 0) return true;
  t->getting = false;
  s->getting--;
  s->n_threads--;
  return false;
}

/* Sends one more thread for the ready requests. Returns false where all are busy. May
 * give the lock up for a moment. */
bool cw_sched_wake_one_unlocking(cw_sched_t *s) {
  thread_t *t = s->parked;
  if (t) {
    s->parked = t->below;
    t->getting = true;
    s->getting++;
    cw_event_set(&t->event);
    return true;
  }
  if (s->n_threads == s->max_threads || s->making) return false;
  return make_thread_unlocking(s);
}

static void got_locked(thread_t *t) {
  if (t->getting) t->s->getting--;
  t->getting = false;
}

static cw_req_t *pop_ready_locked(cw_sched_t *s) {
  cw_req_t *req = cw_req_of(s->ready.next);
  cw_list_remove(s->ready.next);
  s->n_ready--;
  return req;
}

static void add_score_locked(cw_sched_t *s, int points) {
  s->score += points;
  s->score = CW_MAX(CW_MIN(s->score, SCORE_MAX), 0);
}

/* Takes the GIL for a call. Whether that had to wait tells if the others in the app
 * block outside of it (then it was free) or compute. */
static void get_gil(thread_t *t, bool others) {
  cw_sched_t *s = t->s;
  long before = others ? blocks() : 0;
  s->rt->acquire();
  t->gil = true;
  bool waited = others && blocks() != before;
  pthread_mutex_lock(&s->lock);
  got_locked(t);
  if (others) add_score_locked(s, waited ? -2 : 1);
  if (s->n_ready && s->getting == 0 && (s->score > 0 || (others && !waited)))
    cw_sched_wake_one_unlocking(s);
  pthread_mutex_unlock(&s->lock);
}

/* Judges a finished call: one that did not block speaks for running calls in place, one
 * that blocked while no other call competed for the GIL speaks for handing over. */
static void judge_locked(thread_t *t, bool measured, bool blocked, bool alone,
                         int64_t us) {
  cw_sched_t *s = t->s;
  if (us >= SUSPECT_US && !measured) t->probes = PROBES;
  if (!measured) return;
  if (!blocked)
    add_score_locked(s, -1);
  else if (alone && us >= SUSPECT_US / 2)
    add_score_locked(s, 4);
}

/* Notes what runs where a dead worker's report finds it. Not locked: the slot is this
 * thread's own. */
void cw_sched_note_running(cw_sched_t *s, size_t index, const cw_req_t *req) {
  if (!s->watch.running || index >= CW_RUNNING) return;
  cw_running_t *r = &s->watch.running[index];
  if (req) {
    const cw_head_t *h = cw_req_head(req);
    size_t method = CW_MIN(h->method.len, (size_t)16);
    size_t target = CW_MIN(h->target.len, sizeof(r->line) - method - 2);
    memcpy(r->line, h->method.p, method);
    r->line[method] = ' ';
    memcpy(r->line + method + 1, h->target.p, target);
    r->line[method + 1 + target] = '\0';
  }
  atomic_store_explicit(&r->busy, req != NULL, memory_order_release);
}

static void begin_locked(thread_t *t, cw_req_t *req) {
  const cw_sched_watch_t *w = &t->s->watch;
  t->req = req;
  t->overdue = false;
  if (w->time) t->began = atomic_load_explicit(w->time, memory_order_relaxed);
}

void cw_sched_count_unlocking(cw_sched_t *s) {
  if (CW_LIKELY(++s->n_served != s->watch.max_requests)) return;
  pthread_mutex_unlock(&s->lock);
  s->watch.served(s->watch.data);
  pthread_mutex_lock(&s->lock);
}

static void end_unlocking(thread_t *t) {
  cw_sched_t *s = t->s;
  t->req = NULL;
  t->began = 0;
  /* The last one is what the drain waits for. */
  if (CW_UNLIKELY(atomic_load(&s->stop_grace) >= 0) && s->n_app == 0)
    cw_server_wake(s->srv);
  cw_sched_count_unlocking(s);
}

/* Runs one request. Called and returns with the lock held. */
static void run_locked(thread_t *t, cw_req_t *req) {
  cw_sched_t *s = t->s;
  begin_locked(t, req);
  bool others = s->n_app++ > 0;
  t->epoch = s->epoch;
  s->n_fresh++;
  s->progress++;
  if (!s->baton) {
    if (s->score > 0)
      cw_keeper_kick_locked(s);
    else
      cw_keeper_start_tick_locked(s);
  }
  bool measured = s->score > 0 || t->probes > 0;
  if (t->probes > 0) t->probes--;
  bool need_gil = !t->gil;
  if (need_gil && !t->getting) {
    t->getting = true;
    s->getting++;
  }
  if (!need_gil) got_locked(t);
  bool keeper = s->want_keeper, more = s->n_ready > 0;
  pthread_mutex_unlock(&s->lock);

  if (CW_UNLIKELY(keeper)) cw_keeper_make(s);
  if (CW_UNLIKELY(more)) cw_req_may_hold(req, true);
  if (need_gil) get_gil(t, others);
  long before = measured ? blocks() : 0;
  cw_sched_note_running(s, (size_t)(t - s->threads), req);
  int64_t start = cw_now_us();
  cw_req_started(req);
  s->app->run(s->app->data, req);
  int64_t us = cw_now_us() - start;
  bool blocked = measured && blocks() != before;
  cw_sched_note_running(s, (size_t)(t - s->threads), NULL);

  pthread_mutex_lock(&s->lock);
  s->n_app--;
  end_unlocking(t);
  if (t->epoch == s->epoch) s->n_fresh--;
  s->progress++;
  judge_locked(t, measured, blocked, !others && s->n_app == 0, us);
}

static void park_locked(thread_t *t) {
  cw_sched_t *s = t->s;
  t->below = s->parked;
  s->parked = t;
  pthread_mutex_unlock(&s->lock);
  cw_event_wait(&t->event);
  pthread_mutex_lock(&s->lock);
}

/* Parks, since another thread is to turn the loop. */
static void step_aside_unlocking(thread_t *t) {
  cw_sched_t *s = t->s;
  if (t->gil) {
    pthread_mutex_unlock(&s->lock);
    s->rt->release();
    t->gil = false;
    pthread_mutex_lock(&s->lock);
  }
  got_locked(t);
  if (!s->n_ready && !s->finished) park_locked(t);
}

void cw_sched_baton_free_locked(cw_sched_t *s) {
  if (s->async.wants) cw_event_set(&s->async.event);
}

/* ---- the loop ------------------------------------------------------------- */

/* The grace is over: what still runs will not end. */
static void on_deadline(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  cw_log(CW_LOG_WARNING, "graceful timeout: %u connections cut off",
         cw_server_connections(s->srv));
  _exit(0);
}

/* Ends it, unless an app thread still has work to do after its response. */
static void finish(cw_sched_t *s) {
  pthread_mutex_lock(&s->lock);
  if (s->n_app > 0 || s->async.n_calls > 0) {
    pthread_mutex_unlock(&s->lock);
    return;
  }
  s->finished = true;
  if (s->async.on) cw_async_tell_locked(s);
  if (s->has_caller) cw_event_set(&s->caller_event);
  while (s->parked) {
    thread_t *t = s->parked;
    s->parked = t->below;
    cw_event_set(&t->event);
  }
  if (s->has_keeper) cw_keeper_wake_locked(s);
  pthread_mutex_unlock(&s->lock);
  if (s->max_threads > 1) s->rt->main_rouse();
}

void cw_sched_turn_between_unlocking(cw_sched_t *s) {
  if (s->baton) return;
  s->baton = true;
  pthread_mutex_unlock(&s->lock);
  cw_sched_turn_for(s, false);
  pthread_mutex_lock(&s->lock);
  s->baton = false;
  cw_sched_baton_free_locked(s);
  /* The caller goes on with the app. */
  cw_keeper_start_tick_locked(s);
}

void cw_sched_turn(cw_sched_t *s) {
  cw_sched_turn_for(s, true);
}

void cw_sched_turn_for(cw_sched_t *s, bool wait) {
  atomic_store_explicit(&s->looks, 0, memory_order_relaxed);
  cw_server_turn(s->srv, wait);
  long grace = atomic_load(&s->stop_grace);
  if (CW_LIKELY(grace < 0)) return;
  if (s->grace < 0 || grace < s->grace) {
    s->grace = grace;
    s->deadline = cw_now_us() + grace * 1000;
    cw_server_timer(s->srv, CW_HOST_DEADLINE, grace, on_deadline, s);
    cw_async_on_drain(s, grace);
    if (s->watch.drains) s->watch.drains(s->watch.data);
    cw_server_drain(s->srv);
  }
  if (cw_server_connections(s->srv) == 0) finish(s);
}

/* With one thread: what only the main thread may do. Where that waits for the baton
 * itself, to go on with coroutines, it gets it. Returns whether anything was done. */
static bool main_work_unlocking(thread_t *t) {
  cw_sched_t *s = t->s;
  if (s->async.on) {
    if (!s->baton) cw_sched_baton_free_locked(s);
    if (s->n_ready || s->finished) return false;
    step_aside_unlocking(t);
    return true;
  }
  s->main_due = false;
  pthread_mutex_unlock(&s->lock);
  if (!t->gil) s->rt->acquire();
  t->gil = true;
  s->rt->main_run();
  pthread_mutex_lock(&s->lock);
  return true;
}

static void work(thread_t *t) {
  cw_sched_t *s = t->s;
  pthread_mutex_lock(&s->lock);
  for (;;) {
    if (CW_UNLIKELY(s->main_due) && main_work_unlocking(t)) continue;
    if (s->n_ready) {
      run_locked(t, pop_ready_locked(s));
      if (CW_UNLIKELY(s->n_ready) && cw_sched_turn_is_due(s))
        cw_sched_turn_between_unlocking(s);
      continue;
    }
    got_locked(t);
    /* At once: another worker, full itself, may be about to look for one that is not.
     */
    if (CW_UNLIKELY(s->full)) {
      cw_sched_tell_full_locked(s, false);
      if (s->baton) cw_server_wake(s->srv);
    }
    if (t->gil) {
      pthread_mutex_unlock(&s->lock);
      s->rt->release();
      t->gil = false;
      pthread_mutex_lock(&s->lock);
      continue;
    }
    if (s->finished) break;
    if (s->baton) {
      /* Who turns the loop was not woken for the end of the last call: the clock of a
       * connection that is idle now would not run. */
      pthread_mutex_unlock(&s->lock);
      cw_server_nudge(s->srv);
      pthread_mutex_lock(&s->lock);
      if (s->baton && !s->n_ready && !s->finished && !s->main_due) park_locked(t);
      continue;
    }
    s->baton = true;
    pthread_mutex_unlock(&s->lock);
    /* This thread has no call to run: not all are taken, whatever the keeper saw. */
    if (CW_UNLIKELY(s->held)) cw_sched_share(s);
    cw_sched_turn(s);
    pthread_mutex_lock(&s->lock);
    s->baton = false;
  }
  pthread_mutex_unlock(&s->lock);
}

static void *thread_main(void *arg) {
  thread_t *t = arg;
  cw_sched_t *s = t->s;
  /* The maker may be the keeper, which takes no signals. An app's threads do: what they
   * start would inherit a mask, and could not be ended by a signal. */
  pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
  pthread_setname_np(pthread_self(), "cwsgi-app");
  pthread_mutex_lock(&s->lock);
  t->self = pthread_self();
  pthread_mutex_unlock(&s->lock);
  s->rt->thread_start((int)(t - s->threads) + 1);
  work(t);
  s->rt->thread_end();
  return NULL;
}

/* ---- for the server ------------------------------------------------------- */

void cw_sched_on_ready(void *data, cw_req_t *req) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  pthread_mutex_lock(&s->lock);
  cw_list_push(&s->ready, cw_req_link(req));
  s->n_ready++;
  pthread_mutex_unlock(&s->lock);
}

static void on_blocking(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  pthread_mutex_lock(&s->lock);
  cw_keeper_kick_locked(s);
  bool keeper = s->want_keeper;
  pthread_mutex_unlock(&s->lock);
  if (CW_UNLIKELY(keeper)) cw_keeper_make(s);
}

/* ---- life ----------------------------------------------------------------- */

CW_COLD cw_sched_t *cw_sched_new(int threads, const cw_runtime_t *runtime,
                                 const cw_app_t *app) {
  cw_sched_t *s = cw_calloc(1, sizeof(*s));
  if (!s) return NULL;
  s->threads = cw_calloc((size_t)threads, sizeof(*s->threads));
  if (!s->threads) goto free_s;
  s->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (s->tick_fd < 0) goto free_threads;
  cw_private_add(s->tick_fd);
  pthread_mutex_init(&s->lock, NULL);
  cw_list_init(&s->ready);
  cw_event_init(&s->caller_event);
  CW_TAG_SET(s, CW_TAG_SCHED);
  s->rt = runtime;
  s->app = app;
  s->max_threads = threads;
  s->grace = -1;
  s->async.fd = s->async.event_fd = -1;
  cw_list_init(&s->async.ready);
  cw_list_init(&s->async.roused);
  cw_list_init(&s->async.taken);
  cw_event_init(&s->async.event);
  atomic_init(&s->stop_grace, -1);
  for (int i = 0; i < threads; i++) {
    s->threads[i].s = s;
    cw_event_init(&s->threads[i].event);
  }
  return s;
free_threads:
  free(s->threads);
free_s:
  free(s);
  return NULL;
}

CW_COLD void cw_sched_free(cw_sched_t *s) {
  cw_private_close(s->tick_fd);
  if (s->async.event_fd >= 0) cw_private_close(s->async.event_fd);
  pthread_mutex_destroy(&s->lock);
  free(s->threads);
  CW_TAG_SET(s, 0);
  free(s);
}

void cw_sched_host(cw_sched_t *s, cw_host_t *host) {
  *host = (cw_host_t){.data = s,
                      .ready = s->async.on ? cw_async_on_ready : cw_sched_on_ready,
                      .roused = cw_async_on_roused,
                      .blocking = on_blocking,
                      .expired = cw_sched_on_expired,
                      .accepts = cw_sched_accepts};
}

void cw_sched_set_server(cw_sched_t *s, cw_server_t *srv) {
  s->srv = srv;
}

void cw_sched_set_watch(cw_sched_t *s, const cw_sched_watch_t *watch) {
  s->watch = *watch;
}

void cw_sched_call_main(cw_sched_t *s) {
  pthread_mutex_lock(&s->lock);
  thread_t *t = NULL;
  if (s->async.on) {
    cw_async_signal_locked(s);
  } else {
    s->main_due = true;
    t = s->parked;
  }
  if (t) {
    s->parked = t->below;
    cw_event_set(&t->event);
  }
  pthread_mutex_unlock(&s->lock);
}

static bool finished(cw_sched_t *s) {
  pthread_mutex_lock(&s->lock);
  bool yes = s->finished;
  pthread_mutex_unlock(&s->lock);
  return yes;
}

/* The main thread's own work, beside the threads that serve. */
static void attend(cw_sched_t *s) {
  while (!finished(s)) {
    s->rt->main_wait();
    s->rt->acquire();
    s->rt->main_run();
    s->rt->release();
  }
}

static int threads_made(cw_sched_t *s) {
  pthread_mutex_lock(&s->lock);
  int n = s->n_threads;
  pthread_mutex_unlock(&s->lock);
  return n;
}

/* Threads make each other and the keeper, and the keeper makes threads: whoever was
 * made is known for sure once its maker has ended. */
void cw_sched_join(cw_sched_t *s, int own) {
  int i = 0;
  for (; i < threads_made(s); i++)
    if (i != own) pthread_join(s->threads[i].id, NULL);
  if (s->has_keeper) pthread_join(s->keeper, NULL);
  for (; i < threads_made(s); i++)
    if (i != own) pthread_join(s->threads[i].id, NULL);
  if (s->has_caller) pthread_join(s->caller, NULL);
}

void cw_sched_open(cw_sched_t *s) {
  pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
  if (s->watch.beat_ms) cw_server_timer(s->srv, CW_HOST_BEAT, 0, cw_sched_on_beat, s);
}

void cw_sched_run(cw_sched_t *s) {
  int own = 0;
  cw_sched_open(s);
  pthread_mutex_lock(&s->lock);
  /* Where no thread can be made this one serves. */
  bool alone = s->max_threads == 1 || !make_thread_unlocking(s);
  if (alone) {
    own = s->n_threads++;
    s->threads[own].id = s->threads[own].self = pthread_self();
  }
  pthread_mutex_unlock(&s->lock);
  if (alone)
    work(&s->threads[own]);
  else
    attend(s);
  cw_sched_join(s, alone ? own : -1);
}

int64_t cw_sched_grace_left(const cw_sched_t *s) {
  return CW_MAX((s->deadline - cw_now_us()) / 1000, (int64_t)0);
}

void cw_sched_stop(cw_sched_t *s, int64_t grace_ms) {
  long now = atomic_load(&s->stop_grace);
  while ((now < 0 || grace_ms < now) &&
         !atomic_compare_exchange_weak(&s->stop_grace, &now, (long)grace_ms)) {
  }
  cw_server_wake(s->srv);
}

void cw_sched_stats(cw_sched_t *s, cw_sched_stats_t *out) {
  pthread_mutex_lock(&s->lock);
  *out = (cw_sched_stats_t){s->n_threads, s->n_app, s->n_ready, s->score};
  pthread_mutex_unlock(&s->lock);
}
