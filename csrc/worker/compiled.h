/* SPDX-License-Identifier: MIT */
/* Modules that the app's import compiles from source, and what that takes: where their
 * .pyc files are not written, each start does it again. Main thread, GIL held. */
#ifndef CW_WORKER_COMPILED_H
#define CW_WORKER_COMPILED_H

#include <stdint.h>

#include "wsgi/python.h"

/* The app is about to be imported: notes what importlib compiles from now on. Costs
 * nothing where it compiles nothing. */
CW_RAISES int cw_compiled_begin(void);

/* The app was imported: says in one line what was compiled since `began` (by the clock
 * of file times, ns) and not written, where that took long. Puts importlib back as it
 * was. Does nothing without a begin. */
CW_RAISES int cw_compiled_end(int64_t began);

#endif
