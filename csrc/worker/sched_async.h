/* SPDX-License-Identifier: MIT */
/* The event loop's thread as the scheduler's files know it. What is not marked
 * otherwise is guarded by the scheduler's lock; functions as sched_internal.h says. */
#ifndef CW_WORKER_SCHED_ASYNC_H
#define CW_WORKER_SCHED_ASYNC_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/event.h"
#include "base/list.h"
#include "worker/sched.h"

/* The thread that runs an event loop of Python's. */
typedef struct cw_async {
  bool on, remote; /* set before it runs */
  bool (*is_async)(void *data, cw_req_t *req);
  bool busy;     /* it is in Python */
  bool wants;    /* it waits for the baton */
  bool signal;   /* the main thread has signals to look at */
  bool cancel;   /* its calls are to be cancelled */
  bool due;      /* its wait is over */
  bool fd_ready; /* `fd` can be read, */
  bool paused;   /* baton: and is not looked at for that */
  int fd;        /* -1: none */
  int event_fd;  /* remote: -1 otherwise */
  cw_event_t event;
  cw_list_t ready, roused;
  cw_list_t taken;       /* its own: those of `ready` that it runs next */
  const cw_req_t *noted; /* its own: as told to others */
  atomic_int n_calls;    /* of apps; changed by the thread only, as is: */
  atomic_uint n_steps;   /* the steps of requests that were run */
  pthread_t self;
  int64_t since; /* keeper: since when it is in the same call, us; 0: unknown */
  unsigned call; /* keeper: cw_sched_progress_locked() then */
  bool told;     /* keeper: that was said */
  bool ask;      /* what it does is to be looked at */
  int64_t began; /* watch time at which it came from its wait; 0: it waits */
} cw_async_t;

/* As cw_host_t.ready, where some requests are for coroutines. */
void cw_async_on_ready(void *data, cw_req_t *req);
void cw_async_on_roused(void *data, cw_req_t *req);

/* It has something to look at, or all is over. */
void cw_async_tell_locked(cw_sched_t *s);

/* The main thread has signals to look at. */
void cw_async_signal_locked(cw_sched_t *s);

/* The drain has begun: its calls have this long, ms. Baton held. */
void cw_async_on_drain(cw_sched_t *s, int64_t grace_ms);

#endif
