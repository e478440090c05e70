/* SPDX-License-Identifier: MIT */
/* The supervisor's loop. */
#ifndef CW_SUPERVISOR_LOOP_H
#define CW_SUPERVISOR_LOOP_H

#include "supervisor/state.h"

/* Watches signals and children until all is over. Returns the exit code. */
CW_MUSTCHECK int cw_loop_run(state_t *st);

/* Acts on what was found. */
void cw_loop_act(state_t *st, const verdict_t *v);

/* Grants a wish to reload that had to wait. Returns us until it may be, or -1. */
CW_MUSTCHECK int64_t cw_loop_grant(state_t *st);

/* With --daemon: lets the terminal go, and the process that waits there, with this exit
 * code. Done once, at the first ready worker or at the end. */
void cw_leave_terminal(state_t *st, int code);

#endif
