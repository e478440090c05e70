/* SPDX-License-Identifier: MIT */
/* Worker processes from birth to burial. */
#ifndef CW_SUPERVISOR_WORKERS_H
#define CW_SUPERVISOR_WORKERS_H

#include "supervisor/state.h"

/* Starts, tells to go and kills what is due. Returns how long to sleep, us, or -1. */
CW_MUSTCHECK int64_t cw_workers_reconcile(state_t *st);

/* Reads the pipe and looks at what workers have put on the board. */
void cw_workers_on_notify(state_t *st, verdict_t *v);

/* The worker of `slot` has ended. May end its generation. */
void cw_workers_on_end(state_t *st, int slot, int status, const struct rusage *ru,
                       verdict_t *v);

/* Sends a signal to every worker that lives. */
void cw_workers_signal(state_t *st, int sig);

bool cw_workers_alive(const state_t *st);
int cw_workers_count(const state_t *st);

/* Tells it to finish what it has and go. */
void cw_worker_retire(state_t *st, worker_t *w);

void cw_workers_kill_all(state_t *st);

#endif
