/* SPDX-License-Identifier: MIT */
/* Shared by the files of the scheduler: sched.c (app threads), sched_async.c,
 * sched_keeper.c and sched_watch.c. `lock` guards every field not marked otherwise; it
 * is held for a few instructions, never across a call of the app, the loop or the GIL.
 * A thread that holds the GIL may take it; one that holds it never waits for the GIL.
 * Functions named _locked are called with it, those named _unlocking may give it up for
 * a moment. */
#ifndef CW_WORKER_SCHED_INTERNAL_H
#define CW_WORKER_SCHED_INTERNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/event.h"
#include "base/list.h"
#include "base/tag.h"
#include "worker/sched.h"
#include "worker/sched_async.h"

typedef struct thread {
  cw_sched_t *s;
  cw_event_t event;
  struct thread *below; /* on the stack of parked threads */
  pthread_t id;         /* for who joins it */
  pthread_t self;       /* the same, as the thread itself says */
  int probes;
  unsigned epoch; /* of its call */
  bool gil;       /* its own: holds the GIL between requests */
  bool getting;   /* counted in s->getting */
  cw_req_t *req;  /* what it runs */
  bool overdue;   /* that is past its deadline, and it was not told yet */
  int64_t began;  /* watch time; 0: it runs nothing, or nobody watches */
} thread_t;

struct cw_sched {
  pthread_mutex_t lock;
  const cw_runtime_t *rt;
  const cw_app_t *app;
  cw_server_t *srv;
  cw_list_t ready;
  int n_ready;
  bool baton; /* somebody holds it */
  thread_t *threads;
  int n_threads, max_threads;
  thread_t *parked; /* last in, first out: the warmest caches */
  int n_app;        /* threads inside the app */
  int n_fresh;      /* of these, in calls that are not known to be slow */
  unsigned epoch;   /* older calls are slow */
  int getting;      /* threads on their way to the GIL: at most one is sent there */
  int score;
  unsigned progress; /* see cw_sched_progress_locked() */

  sigset_t mask; /* of signals, of threads that run the app */
  bool making;   /* a thread is being made, without the lock */
  bool main_due; /* with one thread: main_run() is to be called */

  pthread_t keeper;
  bool has_keeper, want_keeper, kick, ticking;
  int tick_fd;
  atomic_int looks; /* the keeper's since the last turn, 2 at most */
  unsigned seen;    /* the progress at the keeper's last look */

  cw_sched_watch_t watch;
  int64_t n_served;
  bool full;          /* as watch.full() was told last */
  bool held;          /* baton: connections are left to others */
  int64_t waiting_us; /* baton: since when clients left to others wait; 0: none does */
  int64_t free_us;    /* baton: when one of them was seen to have room; 0: not yet */

  pthread_t caller; /* tells threads that their request is overdue */
  bool has_caller, calling;
  cw_event_t caller_event;

  cw_async_t async;

  atomic_long stop_grace; /* ms; -1: not asked to stop */
  int64_t deadline;       /* baton: when the grace ends, us */
  long grace;             /* baton: what drain was begun with, -1 not */
  bool finished;
  CW_TAGGED;
};

/* Changes whenever a call begins or ends, and with each step of the event loop's thread
 * that is known of: many short ones in a row are no slow one. */
static inline unsigned cw_sched_progress_locked(const cw_sched_t *s) {
  return s->progress + atomic_load_explicit(&s->async.n_steps, memory_order_relaxed);
}

/* Whether the last turn was a tick ago, or longer: a thread that has many short calls
 * to run makes one itself between two. */
static inline bool cw_sched_turn_is_due(const cw_sched_t *s) {
  return atomic_load_explicit(&s->looks, memory_order_relaxed) == 2;
}

/* ---- sched.c ----------------------------------------------------------------- */

/* Sends one more thread for the ready requests. Returns false where all are busy. */
bool cw_sched_wake_one_unlocking(cw_sched_t *s);

/* One turn of the loop, and the steps of the end. Baton held, lock and GIL not. */
void cw_sched_turn(cw_sched_t *s);

/* The same, waiting or not. */
void cw_sched_turn_for(cw_sched_t *s, bool wait);

/* Notes what runs where a dead worker's report finds it. Not locked: a slot is one
 * thread's own. */
void cw_sched_note_running(cw_sched_t *s, size_t index, const cw_req_t *req);

/* A turn without waiting between two requests of many, where nobody has the baton. */
void cw_sched_turn_between_unlocking(cw_sched_t *s);

/* The baton was put back. */
void cw_sched_baton_free_locked(cw_sched_t *s);

/* Adds the request to the threads' queue. Baton held. */
void cw_sched_on_ready(void *data, cw_req_t *req);

/* What all ways of running have at their begin, and at their end: joins every thread
 * but the `own`-th. */
void cw_sched_open(cw_sched_t *s);
void cw_sched_join(cw_sched_t *s, int own);

/* Counts a request that was served. Gives the lock up where that has consequences. */
void cw_sched_count_unlocking(cw_sched_t *s);

/* ---- sched_watch.c ------------------------------------------------------------- */

/* The loop's timer for signs of life; `data` is the scheduler. Baton held. */
void cw_sched_on_beat(void *data);

/* Has what keeps the event loop said, where that takes too long. Returns in how many ms
 * it is to be called again; -1: not at all. The keeper, baton held. */
int64_t cw_sched_watch_loop(cw_sched_t *s);

/* As cw_host_t.expired. */
void cw_sched_on_expired(void *data, cw_req_t *req);

/* Threads that never run the app leave signals to others, but for those that ask a
 * thread for its stack. */
void cw_sched_block_signals(void);

#endif
