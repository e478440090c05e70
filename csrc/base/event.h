/* SPDX-License-Identifier: MIT */
/* A one-thread wake-up: one waiter, any number of setters. A set before the wait
 * is remembered; several sets before it count as one. */
#ifndef CW_BASE_EVENT_H
#define CW_BASE_EVENT_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct cw_event {
  atomic_int set;
} cw_event_t;

static inline void cw_event_init(cw_event_t *e) {
  atomic_init(&e->set, 0);
}

/* Blocks until the event is set, then clears it. Only its owner thread calls
 * this, and never with the GIL held. */
void cw_event_wait(cw_event_t *e);

/* The same for `ms` milliseconds at most; less, if a signal comes. Returns whether it
 * was set. */
bool cw_event_wait_for(cw_event_t *e, int ms);

/* Wakes the waiter. Any thread; async-signal-safe. */
void cw_event_set(cw_event_t *e);

#endif
