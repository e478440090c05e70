/* SPDX-License-Identifier: MIT */
/* --boot-trace in a worker: says where a phase ends; the rest is cwsgi/_boot_trace.py.
 * Where this start is not traced every function does nothing. Main thread, GIL held. */
#ifndef CW_WORKER_TRACE_H
#define CW_WORKER_TRACE_H

#include <stdbool.h>

#include "base/options.h"
#include "wsgi/python.h"

/* The settings are there: goes on with what the launcher's code has recorded. A file
 * that cannot be written is told of, and nothing is traced then. */
CW_RAISES int cw_trace_begin(const cw_settings_t *s);

/* The phase `name` ends now. What goes wrong is logged; the start goes on. */
void cw_trace_phase(const char *name);

/* What requests are to call: `app` (taken, may be NULL) or what calls it and notes the
 * first one. */
CW_NEW PyObject *cw_trace_app(PyObject *app, bool async);

/* Has the functions that run before the port opens tell when they run. */
void cw_trace_startup(void);

/* A zygote has forked this worker, of the running number `age`: only the first one is
 * traced on. */
void cw_trace_forked(int age);

/* The port is open (the phase "listen" ends): writes the trace, for the first time. */
void cw_trace_listening(void);

/* The process ends: writes the trace where nothing was written. */
void cw_trace_end(void);

#endif
