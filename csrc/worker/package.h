/* SPDX-License-Identifier: MIT */
/* The parts of a worker that are written in Python, each loaded only where it is used:
 * hooks of the configuration file, logging, start-up and shut-down functions, warm-up,
 * the reloader. All functions need the GIL, main thread. */
#ifndef CW_WORKER_PACKAGE_H
#define CW_WORKER_PACKAGE_H

#include <stdint.h>

#include "base/options.h"
#include "wsgi/python.h"

/* Before the app is imported: logging, the object with the hooks. */
CW_RAISES int cw_package_begin(const cw_settings_t *s);

/* The post_fork hook: in the worker, as early as it can be. `supervisor` is its process
 * id. */
CW_RAISES int cw_package_forked(int age, int supervisor);

/* The app is imported: hooks that run after a fork may look at it. */
CW_RAISES int cw_package_loaded(PyObject *app);

/* Says so where gevent has patched what `threads` threads cannot do with. */
void cw_package_check_gevent(int threads);

/* What SIGABRT and CW_SIGNAL_DUMP do, the worker_abort hook included. In the worker. */
CW_RAISES int cw_package_init_dump(const cw_settings_t *s);

/* --reload, and the app could not be imported: returns when a file has changed, at once
 * where one did after `began`, when the import began, by the clock of file times
 * (CLOCK_REALTIME_COARSE, in ns): what was imported may have been half of it. `folder`
 * was the present one then; "": unknown. */
CW_RAISES int cw_package_await_change(const cw_settings_t *s, const char *folder,
                                      int64_t began);

/* The app is here: post_worker_init, functions of cwsgi.on_startup(), the reloader.
 * `app` is the callable that requests go to; `has_loop`: functions that are to be
 * awaited are left to the event loop of ASGI apps. */
CW_RAISES int cw_package_start(const cw_settings_t *s, PyObject *app, bool has_loop);

/* Has access lines go through Python's logging, by a change of the settings, where the
 * logger gunicorn.access was set up. */
CW_RAISES int cw_package_route_access(cw_settings_t *s);
/* USR1: files that Python's handlers have open may have been renamed. Any thread. */
void cw_package_reopen_access_nogil(void);
/* The server writes no more: waits a moment for the last of them. */
void cw_package_finish_access(void);

/* The end: functions of cwsgi.on_shutdown(), which get `grace_ms`, then the hooks
 * worker_int (where `interrupted`) and worker_exit. */
void cw_package_end(int64_t grace_ms, bool interrupted);

#endif
