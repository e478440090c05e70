/* SPDX-License-Identifier: MIT */
/* Names of signals, as sigabbrev_np(3) has them where a libc offers it. Pure; any
 * thread. */
#ifndef CW_BASE_SIGNAL_NAME_H
#define CW_BASE_SIGNAL_NAME_H

/* "TERM" for SIGTERM; "?" where a number has no name, as real-time signals have none.
 */
const char *cw_signal_name(int sig);

#endif
