/* SPDX-License-Identifier: MIT */
/* What every thread of this worker is doing, in Python and in C, written to the error
 * log: when the supervisor asks for it (CW_SIGNAL_DUMP) or ends the worker (SIGABRT).
 */
#ifndef CW_WORKER_DUMP_H
#define CW_WORKER_DUMP_H

#include <stdbool.h>

#include "wsgi/python.h"

/* Installs the signal handlers; output goes to `fd`. C stacks, which cost every start a
 * library, are written only with `c_stacks`. With a callable `hook` (else
 * NULL), SIGABRT has it called in a thread of its own before the process ends. Needs
 * the GIL, main thread; takes its own reference. */
CW_RAISES int cw_dump_init(int fd, bool c_stacks, PyObject *hook);

/* Writes all stacks, then has the hook called as with SIGABRT, but the process goes on.
 * Any thread, without the GIL. */
void cw_dump_late(void);

/* For others who show stacks. Has `sig` write those of Python to the descriptor,
 * always. GIL, main thread. */
CW_RAISES int cw_dump_register(int sig, int fd);

/* Has C's stacks written from now on. Loads a library: in no signal handler, any
 * thread. */
void cw_dump_prepare_c(void);

/* Writes all stacks to `fd`, which `sig` was registered for. Async-signal-safe; one
 * call at a time. */
void cw_dump_to(int fd, int sig);

/* In a child that the app forked: gives these signals back. Async-signal-safe. */
void cw_dump_forked(void);

#endif
