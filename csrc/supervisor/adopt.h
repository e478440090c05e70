/* SPDX-License-Identifier: MIT */
/* Workers that zygotes fork. */
#ifndef CW_SUPERVISOR_ADOPT_H
#define CW_SUPERVISOR_ADOPT_H

#include "supervisor/state.h"

/* A process that nobody knows has ended: perhaps a worker that is yet to be named. */
void cw_adopt_stranger(state_t *st, pid_t pid, int status, const struct rusage *ru);

/* Reads what all zygotes have to say. May end generations. */
void cw_adopt_read(state_t *st, verdict_t *v);

/* The zygote of `gen` has ended: who was asked of it will not come. */
void cw_adopt_on_zygote_end(state_t *st, generation_t *gen, int status, verdict_t *v);

/* Has it end, after it has named those that it was asked for. No more are: this process
 * stops, or `gen` is no longer the present one. */
void cw_adopt_end_zygote(state_t *st, generation_t *gen);

#endif
