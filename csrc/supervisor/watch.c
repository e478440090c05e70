/* SPDX-License-Identifier: MIT */
/* Watching workers: --timeout and --max-memory. Time is counted in ticks of this
 * process: where a container's CPU was taken away, no tick came, and no worker is
 * blamed for what it could not do (docs/processes.md, "Time"). */
#include "supervisor/watch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/resources.h"
#include "supervisor/workers.h"

enum {
  TICK_MS = 1000,
  LEAST_TICK_MS = 50,
  ABORT_MS = 2000, /* from SIGABRT, which lets it say what it did, to SIGKILL */
  NEAR_PERCENT = 95,
};

static int64_t period_ms(const state_t *st) {
  int64_t timeout = cw_opt_num(&st->gen->settings, CW_OPT_TIMEOUT);
  int64_t memory = cw_opt_num(&st->gen->settings, CW_OPT_MAX_MEMORY);
  if (timeout > 0)
    return CW_MIN(CW_MAX(timeout / 4, (int64_t)LEAST_TICK_MS), (int64_t)TICK_MS);
  if (memory > 0 || (st->want > 1 && cw_resources_memory() > 0)) return TICK_MS;
  return -1;
}

/* ---- --timeout ------------------------------------------------------------ */

/* Its loop has stopped: it can do nothing for its requests any more. */
static void abort_worker(state_t *st, worker_t *w) {
  cw_log(CW_LOG_CRITICAL, "WORKER TIMEOUT (pid:%d): no sign of life for %.1f s",
         (int)w->pid, (double)cw_opt_num(&w->gen->settings, CW_OPT_TIMEOUT) / 1000);
  kill(w->pid, w->sent = SIGABRT);
  w->stuck = w->leaving = w->told = true;
  w->deadline = cw_now_us() + ABORT_MS * MS;
}

/* One request takes too long: others of this worker may still be answered. */
static void replace_worker(state_t *st, worker_t *w) {
  cw_log(CW_LOG_CRITICAL,
         "WORKER TIMEOUT (pid:%d): a request has been running for %.1f s", (int)w->pid,
         (double)cw_opt_num(&w->gen->settings, CW_OPT_TIMEOUT) / 1000);
  /* A worker that has no pipe says what it does all the same. */
  if (!w->words || write(w->words, &(char){CW_WORD_LATE}, 1) != 1)
    kill(w->pid, CW_SIGNAL_DUMP);
  w->stuck = w->leaving = true;
}

static void check_timeout(state_t *st, worker_t *w, const cw_slot_t *slot,
                          int64_t now) {
  int64_t timeout = cw_opt_num(&w->gen->settings, CW_OPT_TIMEOUT);
  int64_t beat = atomic_load(&slot->beat), began = atomic_load(&slot->oldest);
  if (timeout == 0 || (w->told && w->stuck)) return;
  /* It may wait for its app to be mended. */
  if (!w->ready && cw_opt_num(&w->gen->settings, CW_OPT_RELOAD)) return;
  /* It can have written anything: times that cannot be are none. */
  if (beat > w->beat && beat <= now) w->beat = beat;
  if (began < w->watch_started || began > now) began = 0;
  /* A beat of slack: it is told of its time as seldom as it tells. */
  if (now - w->beat > timeout + CW_MAX(period_ms(st), (int64_t)0))
    abort_worker(st, w);
  else if (!w->stuck && began && now - began > timeout)
    replace_worker(st, w);
}

/* ---- --max-memory --------------------------------------------------------- */

static void replace_grown(state_t *st, worker_t *w, int64_t held, int64_t limit) {
  cw_log(CW_LOG_WARNING,
         "Worker (pid:%d) holds %lld MiB, more than --max-memory (%lld MiB): replacing "
         "it",
         (int)w->pid, (long long)(held >> 20), (long long)(limit >> 20));
  w->leaving = true;
}

/* The container is nearly full: of several workers the largest goes, now, for there is
 * no room to start its successor first. */
static void relieve(state_t *st) {
  worker_t *largest = NULL;
  int64_t most = 0;
  int ready = 0;
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    worker_t *w = &st->workers[i];
    if (!w->gen || w->told) {
      if (w->told) return; /* one at a time */
      continue;
    }
    int64_t held = w->pid ? cw_resources_resident(w->pid) : 0;
    ready += w->ready;
    if (w->ready && held > most) {
      most = held;
      largest = w;
    }
  }
  if (!largest || ready < 2) return;
  cw_log(
      CW_LOG_WARNING,
      "memory is nearly used up (%lld of %lld MiB): replacing worker (pid:%d), which "
      "holds %lld MiB",
      (long long)(cw_resources_used() >> 20), (long long)(cw_resources_memory() >> 20),
      (int)largest->pid, (long long)(most >> 20));
  cw_worker_retire(st, largest);
}

static void check_memory(state_t *st) {
  int64_t limit = cw_opt_num(&st->gen->settings, CW_OPT_MAX_MEMORY);
  if (limit == 0) {
    int64_t granted = cw_resources_memory();
    if (granted > 0 && cw_resources_used() > granted / 100 * NEAR_PERCENT) relieve(st);
    return;
  }
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    worker_t *w = &st->workers[i];
    if (!w->gen || !w->ready || w->leaving) continue;
    int64_t held = cw_resources_resident(w->pid);
    if (held > limit) replace_grown(st, w, held, limit);
  }
}

/* ---- the clock ------------------------------------------------------------ */

int64_t cw_watch(state_t *st) {
  int64_t period = period_ms(st), now = cw_now_us();
  if (period < 0 || st->stopping) {
    st->watch.at = 0;
    return -1;
  }
  if (st->watch.at && now < st->watch.at) return st->watch.at - now;
  int64_t passed = st->watch.at ? (now - st->watch.last) / MS : 0;
  /* Two periods at the most: the rest was a pause of ours, and so of everybody. */
  st->published.watch_ms += CW_MAX(CW_MIN(passed, 2 * period), 1);
  st->watch.last = now;
  st->watch.at = now + period * MS;
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st->workers[i].gen && st->workers[i].pid)
      check_timeout(st, &st->workers[i], &st->board->slots[i], st->published.watch_ms);
  check_memory(st);
  return period * MS;
}
