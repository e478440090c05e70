/* SPDX-License-Identifier: MIT */
/* What the scheduler's other files ask of the keeper, the thread that turns the loop
 * while the app keeps the threads that do; functions as sched_internal.h says. */
#ifndef CW_WORKER_SCHED_KEEPER_H
#define CW_WORKER_SCHED_KEEPER_H

#include "worker/sched_internal.h"

/* Makes the keeper where one is wanted. Without the lock: neither a thread is made nor
 * a line logged under it. */
void cw_keeper_make(cw_sched_t *s);

/* The baton lies free while a thread is in the app: has the keeper look now and then,
 * or take it at once. */
void cw_keeper_start_tick_locked(cw_sched_t *s);
void cw_keeper_kick_locked(cw_sched_t *s);

void cw_keeper_wake_locked(cw_sched_t *s); /* has it look now */

/* Tells whether all threads are in the app, where that has changed. */
void cw_sched_tell_full_locked(cw_sched_t *s, bool full);

/* New connections are better off with another worker while all threads here are taken.
 * Returns whether that has to be looked at again soon. Baton held. */
bool cw_sched_share(cw_sched_t *s);

/* As cw_host_t.accepts. */
bool cw_sched_accepts(void *data);

#endif
