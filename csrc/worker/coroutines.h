/* SPDX-License-Identifier: MIT */
/* The event loop of a worker that has ASGI apps. All functions need the GIL, main
 * thread. */
#ifndef CW_WORKER_COROUTINES_H
#define CW_WORKER_COROUTINES_H

#include "base/options.h"
#include "worker/sched.h"
#include "wsgi/python.h"

/* Whether an ASGI app is mounted: only then are the others to be called. */
bool cw_coroutines_wanted(void);

/* Makes the loop, tells the scheduler of it, and runs the start-up of every app. Before
 * the scheduler's host is taken. Returns 0, or -1 where it was said what is wrong. */
int cw_coroutines_begin(const cw_settings_t *s, cw_sched_t *sched);

/* For a warm-up: runs requests of ASGI apps in the loop, others by `app`. */
cw_app_t cw_coroutines_app(const cw_app_t *app);

/* In place of cw_sched_run(). Returns 0 or a negative errno. */
int cw_coroutines_serve(cw_sched_t *sched);

/* Runs the apps' shutdown, which may take this long, and ends the loop. */
void cw_coroutines_end(int64_t grace_ms);

/* For the module `_core`. */
PyObject *cw_coroutines_stop(PyObject *module, PyObject *quick);
PyObject *cw_coroutines_keep_wakeup(PyObject *module, PyObject *unused);

#endif
