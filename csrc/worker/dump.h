/* SPDX-License-Identifier: MIT */
/* What every thread of this worker is doing, in Python and in C, written to the error
 * log: when the supervisor asks for it (CW_SIGNAL_DUMP) or ends the worker (SIGABRT).
 */
#ifndef CW_WORKER_DUMP_H
#define CW_WORKER_DUMP_H

#include <stdbool.h>

#include "wsgi/python.h"

/* Installs the signal handlers; output goes to `fd`. With `hook`, SIGABRT also trips
 * Python's own handler of it, which then ends the process; else it ends at once. Needs
 * the GIL, main thread. */
CW_RAISES int cw_dump_init(int fd, bool hook);

#endif
