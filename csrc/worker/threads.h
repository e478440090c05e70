/* SPDX-License-Identifier: MIT */
/* Our threads as Python's `threading` sees them: with a name, and with the trace and
 * profile functions that debuggers and coverage set for all threads. All need the GIL.
 *
 * `threading` is not imported for their sake, which would cost each start some
 * milliseconds: they join in once somebody has imported it. */
#ifndef CW_WORKER_THREADS_H
#define CW_WORKER_THREADS_H

#include <stdbool.h>

#include "wsgi/python.h"

/* Once, on the main thread. */
CW_RAISES int cw_threads_init(void);

/* The calling thread is our number-th (0: one that runs no app). */
void cw_threads_begin(int number);
void cw_threads_end(void);

/* The calling thread is about to go on: takes over what has changed since. */
void cw_threads_sync(void);

/* Whether asyncio is imported. */
bool cw_threads_have_asyncio(void);

/* Before CPython 3.13 `threading` takes the thread that imports it for the main one.
 * Puts that right, where one of ours was it. Main thread. */
void cw_threads_mend_main(void);

#endif
