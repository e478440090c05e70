/* SPDX-License-Identifier: MIT */
/* The baton: who turns the loop, who runs the app.
 *
 * One loop, many threads. Whoever holds the baton may run turns of the loop; an app
 * thread that finds a ready request runs it itself, in place, with the baton lying
 * free. A keeper thread, which never runs the app, picks the baton up when the app
 * keeps its thread for longer than a tick, or at once where calls were seen to block
 * outside the GIL. docs/scheduler.md tells the whole protocol. */
#ifndef CW_WORKER_SCHED_H
#define CW_WORKER_SCHED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/board.h"
#include "base/macros.h"
#include "http/app.h"
#include "http/async.h"
#include "http/server.h"

/* What the scheduler needs of the interpreter; a test fills it with a plain mutex. */
typedef struct cw_runtime {
  /* A new app thread begins, the number-th from 1 (0: one that only interrupts); GIL
   * not held. */
  void (*thread_start)(int number);
  void (*thread_end)(void); /* and ends; GIL not held */
  void (*acquire)(void);    /* takes the GIL */
  void (*release)(void);
  /* Raises the deadline's exception in the app thread `id`; GIL held. May be NULL. */
  void (*interrupt)(pthread_t id);
  /* The event loop's thread, the main one, has been in one call for so long; GIL held.
   * May be NULL. */
  void (*blocked)(pthread_t id, int64_t ms);
  /* What is for the main thread alone: signal handlers of the app. GIL held. */
  void (*main_run)(void);
  /* With several threads the main one runs no request: it waits here, GIL not held,
   * until there may be something for main_run() or main_rouse() was called. */
  void (*main_wait)(void);
  void (*main_rouse)(void); /* any thread */
} cw_runtime_t;

/* What is told to others about requests while they run. */
typedef struct cw_sched_watch {
  cw_running_t *running;       /* of CW_RUNNING, in shared memory; NULL: not told */
  const _Atomic int64_t *time; /* watch time, ms; NULL: nobody watches */
  int64_t timeout;             /* ms of watch time that a request may take; 0: any */
  int64_t beat_ms;             /* how often beat() is called; 0: never */
  /* Watch time at which the oldest running request began, or 0. In the loop. */
  void (*beat)(void *data, int64_t oldest);
  /* All threads are in the app, or no longer. Any thread, under the scheduler's lock:
   * it only stores. May be NULL, where nobody else could take connections. */
  void (*full)(void *data, bool full);
  /* Whether somebody else can take new connections sooner; asked while all threads are
   * in the app. In the loop; not NULL where full() is not. */
  bool (*others)(void *data);
  /* It accepts no more, and finishes what it has. In the loop; may be NULL. */
  void (*drains)(void *data);
  int64_t block_ms;     /* when blocked() is called; 0: never */
  int64_t max_requests; /* 0: none */
  /* That many have been served. Any app thread, GIL held. */
  void (*served)(void *data);
  void *data;
} cw_sched_watch_t;

typedef struct cw_sched cw_sched_t;

/* `threads` run the app: with one it is the caller's own. Everything is borrowed for
 * the scheduler's life. NULL when out of memory or descriptors. */
CW_MUSTCHECK cw_sched_t *cw_sched_new(int threads, const cw_runtime_t *runtime,
                                      const cw_app_t *app);
void cw_sched_free(cw_sched_t *s);

/* The callbacks to make the server with, and the server once it is made. */
void cw_sched_host(cw_sched_t *s, cw_host_t *host);
void cw_sched_set_server(cw_sched_t *s, cw_server_t *srv);

/* Copies `watch`. Before cw_sched_run(). */
void cw_sched_set_watch(cw_sched_t *s, const cw_sched_watch_t *watch);

/* Serves until stopped and drained; all threads that were made are joined then. With
 * one thread the caller's runs the app; with more it is the main thread, which waits
 * for what only it may do. GIL not held. */
void cw_sched_run(cw_sched_t *s);

/* Asks for the end: no new connections, running requests may take `grace_ms` more;
 * then the process is ended where requests still run. Any thread; a later call with a
 * shorter grace counts. */
void cw_sched_stop(cw_sched_t *s, int64_t grace_ms);

/* Has the main thread call main_run() as soon as it is not in the app; for one thread,
 * from the loop. Baton held. */
void cw_sched_call_main(cw_sched_t *s);

/* What is left of the grace, ms, once cw_sched_run() has returned; at least 0. */
int64_t cw_sched_grace_left(const cw_sched_t *s);

/* ---- coroutines: sched_async.c ----------------------------------------------- */

/* One more thread, the main one, runs an event loop of Python's whose wait is a turn of
 * the server's loop, or, `remote`, which waits elsewhere and reads a descriptor of ours
 * there. Requests of which `is_async` says so (any thread, GIL not held) go to it; it
 * is given the app's data. Between cw_sched_new() and cw_sched_host(). Returns 0 or a
 * negative errno. */
CW_MUSTCHECK int cw_sched_set_async(cw_sched_t *s,
                                    bool (*is_async)(void *data, cw_req_t *req),
                                    bool remote);

/* Readable while there is something for the thread, where it is remote; else -1. */
int cw_sched_async_fd(const cw_sched_t *s);

/* In place of cw_sched_run(): begins, and joins all threads at the end. GIL not held.
 * `fd`, where it is one, ends a wait when it can be read. Returns 0 or a negative
 * errno. */
CW_MUSTCHECK int cw_sched_async_begin(cw_sched_t *s, int fd);
void cw_sched_async_end(cw_sched_t *s);

/* What its thread calls; `data` is the scheduler. */
void cw_sched_async_host(cw_sched_t *s, cw_async_host_t *host);

typedef struct cw_sched_stats {
  int threads; /* app threads made */
  int in_app;  /* of these in the app now */
  int ready;   /* requests waiting for a thread */
  int score;   /* evidence that calls block outside the GIL */
} cw_sched_stats_t;

/* A snapshot. Any thread. */
void cw_sched_stats(cw_sched_t *s, cw_sched_stats_t *out);

#endif
