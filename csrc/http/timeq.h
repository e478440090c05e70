/* SPDX-License-Identifier: MIT */
/* Coarse connection timers: one first-in first-out queue for each kind, whose
 * durations are all alike, so arming and cancelling are two pointer writes and never
 * a system call or an allocation. Baton holder only. */
#ifndef CW_HTTP_TIMEQ_H
#define CW_HTTP_TIMEQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

typedef enum cw_timer_kind {
  CW_TIMER_HEAD,    /* a header section has to arrive */
  CW_TIMER_BODY,    /* a window in which body bytes have to arrive */
  CW_TIMER_GATHER,  /* a chunked body may come to its end before its request runs */
  CW_TIMER_IDLE,    /* keep-alive */
  CW_TIMER_STALL,   /* the client takes no response bytes */
  CW_TIMER_LINGER,  /* the client has to close after our goodbye */
  CW_TIMER_DRAIN,   /* the last wait for a request on a kept-alive connection */
  CW_TIMER_REQUEST, /* a request's deadline; its cw_timer_t is in the request */
  CW_TIMER_PING,    /* a WebSocket's client is to be asked for a sign of life */
  CW_TIMER_PONG,    /* it has to give one */
  CW_TIMER_CLOSE,   /* and to end the closing handshake */
  CW_TIMER_KINDS,
} cw_timer_kind_t;

typedef struct cw_timer {
  cw_list_t node;
  uint64_t due; /* loop time, ms */
  cw_timer_kind_t kind;
} cw_timer_t;

typedef struct cw_timeqs {
  cw_list_t queue[CW_TIMER_KINDS];
  uint64_t duration[CW_TIMER_KINDS]; /* ms */
} cw_timeqs_t;

void cw_timeqs_init(cw_timeqs_t *qs, const uint64_t duration[CW_TIMER_KINDS]);
void cw_timer_init(cw_timer_t *t);

/* (Re)starts `t` as a timer of this kind, counted from `now` (ms). */
void cw_timer_start(cw_timeqs_t *qs, cw_timer_t *t, cw_timer_kind_t kind, uint64_t now);
void cw_timer_stop(cw_timer_t *t);

/* Whether `t` runs, as a timer of this kind. */
bool cw_timer_runs(const cw_timer_t *t, cw_timer_kind_t kind);

/* Takes one timer that is due at `now` off its queue and says of which kind it is, or
 * returns NULL. */
cw_timer_t *cw_timeqs_expire(cw_timeqs_t *qs, uint64_t now, cw_timer_kind_t *kind);

/* The timer of this kind that has waited longest, or NULL. */
cw_timer_t *cw_timeqs_oldest(const cw_timeqs_t *qs, cw_timer_kind_t kind);

/* When the next timer is due, or UINT64_MAX. */
uint64_t cw_timeqs_next(const cw_timeqs_t *qs);

#endif
