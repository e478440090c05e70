/* SPDX-License-Identifier: MIT */
/* A server, and what its connections ask of it. Baton holder only. */
#ifndef CW_HTTP_SERVER_INTERNAL_H
#define CW_HTTP_SERVER_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/tag.h"
#include "http/accept.h"
#include "http/conn.h"
#include "http/parse.h"

enum {
  CW_HEAD_USUAL = 128 * 1024, /* a whole head, where nobody says how long it may be */
  CW_WATCHES = 4,             /* descriptors of the host */
};

struct cw_server {
  uv_loop_t loop;
  uv_timer_t tick; /* runs the timer queues */
  struct cw_host_timer_slot {
    uv_timer_t timer;
    void (*fn)(void *);
    void *data;
  } host_timers[CW_HOST_TIMERS];
  struct cw_watch_slot {
    uv_poll_t poll;
    void (*fn)(void *);
    void *data;
    bool open;
  } watches[CW_WATCHES];
  int n_watches;
  cw_timeqs_t timers;
  uint64_t tick_due; /* what `tick` waits for; UINT64_MAX: nothing */
  cw_acceptors_t acceptors;
  cw_service_t service;
  bool probed;         /* some requests are answered here */
  bool scraping;       /* probe.c: it is looking at the posts */
  bool gave_request;   /* to the host, in this turn */
  uint64_t refused_at; /* refusals.c: loop time of the last line, ms; 0: none */
  unsigned refused;    /* refusals.c: not told of since */
  size_t held;         /* budget.c: bytes of requests that are still coming */
  unsigned n_conns;
  cw_list_t conns;
  cw_parser_t parser;
  const cw_protocol_t *protocol; /* of new connections */

  char *block; /* what is received into: CW_READ_SIZE bytes, owned */
  CW_TAGGED;
#ifndef NDEBUG
  atomic_uintptr_t turning; /* the thread that is in a turn; 0: none */
#endif
};

/* Opens functions that are for the baton's holder: while a thread turns the loop nobody
 * else may call them. */
#ifdef NDEBUG
#define CW_ASSERT_BATON(srv) ((void)0)
#else
#define CW_ASSERT_BATON(srv) assert(cw_server_is_held(srv))
static inline bool cw_server_is_held(const cw_server_t *srv) {
  uintptr_t who = atomic_load(&srv->turning);
  return who == 0 || who == (uintptr_t)pthread_self();
}
#endif

/* A connection was closed or became idle: there may be room again. */
void cw_server_made_room(cw_server_t *srv);

/* Sees to it that the timer queues are looked at in time. */
void cw_server_schedule_tick(cw_server_t *srv);

#endif
