/* SPDX-License-Identifier: MIT */
/* Signals by name, and those that ask a process to stop. Any thread. */
#ifndef CW_BASE_SIGNALS_H
#define CW_BASE_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* "TERM" for SIGTERM, as sigabbrev_np(3) has it where a libc offers that; "?" where a
 * number has no name, as real-time signals have none. Pure. */
const char *cw_signal_name(int sig);

/* What asks the program to stop. */
sigset_t cw_stop_signals(void);

/* Whether one of them waits, in a process that blocks them. */
bool cw_stop_pending(void);

#endif
