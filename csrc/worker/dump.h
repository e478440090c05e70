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

/* In a child that the app forked: gives these signals back. Async-signal-safe. */
void cw_dump_forked(void);

#endif
