/* SPDX-License-Identifier: MIT */
/* What the supervisor says to a worker. */
#ifndef CW_SUPERVISOR_WORDS_H
#define CW_SUPERVISOR_WORDS_H

#include "supervisor/state.h"

/* Makes the pipe in which a worker is spoken to. Returns the worker's end, or -1. */
CW_MUSTCHECK int cw_words_open(worker_t *w);

/* Says TERM, QUIT (or INT) or USR1, by the signal and by a word. */
void cw_worker_tell(worker_t *w, int sig);

/* Frees what is kept of a worker that is gone. */
void cw_worker_forget(worker_t *w);

#endif
