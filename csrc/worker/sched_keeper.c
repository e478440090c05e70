/* SPDX-License-Identifier: MIT */
/* The keeper: a thread that never runs the app, and turns the loop while the app keeps
 * the threads that do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/sched_keeper.h"

enum {
  TICK_US = 1000, /* a call longer than one to two of these loses the loop */
  /* Where coroutines are all that runs, responses that wait for a turn are sent after
   * one to two of these: fewer, larger batches disturb the app less. */
  ASYNC_TICK_US = 2000,
  RETRY_MS = 5,  /* how long waiting requests see no progress before a thread more */
  SHARE_MS = 20, /* how often a full worker looks for one that is not */
  PATIENCE_MS = 100, /* how long clients may wait for it */
};

static void *keeper_main(void *arg);

/* ---- the keeper's clock -------------------------------------------------- */

static void set_tick(cw_sched_t *s, long first_ns, long interval_ns) {
  struct itimerspec spec = {.it_value.tv_nsec = first_ns,
                            .it_interval.tv_nsec = interval_ns};
  timerfd_settime(s->tick_fd, 0, &spec, NULL);
}

static long tick_ns(const cw_sched_t *s) {
  return (s->async.on && s->n_threads == 0 ? ASYNC_TICK_US : TICK_US) * 1000L;
}

/* Made at the first wish, by who gives the lock up next. */
static void want_keeper_locked(cw_sched_t *s) {
  s->want_keeper = !s->has_keeper;
}

void cw_keeper_make(cw_sched_t *s) {
  pthread_mutex_lock(&s->lock);
  bool make = s->want_keeper;
  s->want_keeper = false;
  s->has_keeper |= make;
  pthread_mutex_unlock(&s->lock);
  if (!make) return;
  int rc = pthread_create(&s->keeper, NULL, keeper_main, s);
  if (rc == 0) return;
  pthread_mutex_lock(&s->lock);
  s->has_keeper = s->ticking = s->kick = false;
  pthread_mutex_unlock(&s->lock);
  cw_log(CW_LOG_WARNING,
         "cannot start the keeper thread: %s; slow requests hold others up",
         strerror(rc));
}

void cw_keeper_start_tick_locked(cw_sched_t *s) {
  if (s->ticking) return;
  want_keeper_locked(s);
  s->ticking = true;
  s->seen = cw_sched_progress_locked(s);
  set_tick(s, tick_ns(s), tick_ns(s));
}

static void stop_tick_locked(cw_sched_t *s) {
  if (!s->ticking) return;
  s->ticking = false;
  set_tick(s, 0, 0);
}

void cw_keeper_kick_locked(cw_sched_t *s) {
  if (s->baton || s->kick) return;
  want_keeper_locked(s);
  s->kick = true;
  s->ticking = true;
  set_tick(s, 1, tick_ns(s));
}

void cw_keeper_wake_locked(cw_sched_t *s) {
  set_tick(s, 1, tick_ns(s));
}

/* ---- the keeper ----------------------------------------------------------- */

/* From now on the calls under way count as slow: no help is expected from them. */
static void new_epoch_locked(cw_sched_t *s) {
  s->epoch++;
  s->n_fresh = 0;
}

/* Whether every thread is in the app or was sent there: such a one enters it while the
 * loop waits, and nobody tells. */
static bool all_taken_locked(const cw_sched_t *s) {
  const cw_async_t *a = &s->async;
  /* Where coroutines are all that there is: one call keeps the event loop. */
  if (a->on && s->n_threads == 0)
    return a->busy && a->since && cw_sched_progress_locked(s) == a->call;
  int taken = s->n_app;
  for (int i = 0; s->getting > 0 && i < s->n_threads; i++)
    taken += s->threads[i].getting && !s->threads[i].req;
  return taken == s->max_threads;
}

void cw_sched_tell_full_locked(cw_sched_t *s, bool full) {
  if (!s->watch.full || full == s->full) return;
  s->full = full;
  s->watch.full(s->watch.data, full);
}

bool cw_sched_share(cw_sched_t *s) {
  if (!s->watch.full) return false;
  pthread_mutex_lock(&s->lock);
  cw_sched_tell_full_locked(s, all_taken_locked(s));
  bool full = s->full;
  pthread_mutex_unlock(&s->lock);
  int64_t now = full ? cw_now_us() : 0;
  if (full && s->watch.others(s->watch.data)) s->free_us = now;
  if (!full) s->free_us = 0;
  /* One that had room a moment ago is about to have it again. */
  bool hold = s->free_us && now - s->free_us < SHARE_MS * 1000;
  /* Who has room takes them at once, unless it is stopped, or stuck. */
  if (!hold || !cw_server_has_waiting(s->srv))
    s->waiting_us = 0;
  else if (!s->waiting_us)
    s->waiting_us = now;
  else if (now - s->waiting_us > PATIENCE_MS * 1000)
    hold = false;
  cw_server_hold_accept(s->srv, hold);
  s->held = hold;
  return full;
}

bool cw_sched_accepts(void *data) {
  cw_sched_t *s = data;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  cw_sched_share(s);
  return !s->held;
}

static void on_retry(void *data) {
  /* Its work is to end the turn: the keeper then looks at the queue. */
}

/* Turns the loop until app threads get on without help. */
static void keep(cw_sched_t *s) {
  for (;;) {
    pthread_mutex_lock(&s->lock);
    bool progressed = cw_sched_progress_locked(s) != s->seen, woke = false;
    s->seen = cw_sched_progress_locked(s);
    if (!progressed) new_epoch_locked(s);
    if (s->n_ready && s->getting == 0 && (s->n_fresh == 0 || s->score > 0))
      woke = cw_sched_wake_one_unlocking(s);
    /* A thread in a fresh call comes back for what is ready; one that parked does not.
     */
    /* One that was made may have run what was ready and have parked by now. */
    woke &= s->getting > 0 || s->n_fresh > 0;
    bool give_up = s->score == 0 && (woke || (progressed && s->n_fresh > 0));
    /* The event loop is back, or about to be. */
    if (s->async.on) give_up = !s->async.remote && (s->async.wants || progressed);
    bool retry = s->n_ready && (s->parked || s->n_threads < s->max_threads);
    if (s->finished || give_up) {
      s->baton = false;
      cw_sched_baton_free_locked(s);
      if (!s->finished) cw_keeper_start_tick_locked(s);
      pthread_mutex_unlock(&s->lock);
      return;
    }
    pthread_mutex_unlock(&s->lock);
    int64_t watch = cw_sched_watch_loop(s);
    bool again = cw_sched_share(s);
    int64_t ms = retry ? RETRY_MS : again ? SHARE_MS : watch;
    cw_server_timer(s->srv, CW_HOST_RETRY, watch > 0 ? CW_MIN(ms, watch) : ms, on_retry,
                    s);
    cw_sched_turn(s);
  }
}

static void *keeper_main(void *arg) {
  cw_sched_t *s = arg;
  CW_TAG_CHECK(s, CW_TAG_SCHED);
  uint64_t ticks;
  cw_sched_block_signals();
  pthread_setname_np(pthread_self(), "cwsgi-keeper");
  for (;;) {
    if (read(s->tick_fd, &ticks, sizeof(ticks)) < 0 && errno != EINTR) {
      cw_log(CW_LOG_CRITICAL, "the keeper lost its clock: %s", strerror(errno));
      abort();
    }
    pthread_mutex_lock(&s->lock);
    bool kick = s->kick, moved = cw_sched_progress_locked(s) != s->seen;
    s->kick = false;
    s->seen = cw_sched_progress_locked(s);
    if (s->finished) {
      pthread_mutex_unlock(&s->lock);
      return NULL;
    }
    int looks = atomic_load_explicit(&s->looks, memory_order_relaxed);
    /* Who has the baton is in a turn, or about to be. */
    if (looks == 0 || !s->baton)
      atomic_store_explicit(&s->looks, CW_MIN(looks + 1, 2), memory_order_relaxed);
    bool take = !s->baton && (kick || (!moved && (s->n_app > 0 || s->async.busy)));
    if (take) s->baton = true;
    /* While calls come and go the tick goes on; an idle or looked-after loop needs
     * none. */
    if (take || s->baton || !moved) stop_tick_locked(s);
    pthread_mutex_unlock(&s->lock);
    if (take) keep(s);
  }
}
