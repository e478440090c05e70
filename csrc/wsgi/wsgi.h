/* SPDX-License-Identifier: MIT */
/* The WSGI side of a worker: PEP 3333 between a Python callable and http/app.h.
 * Every function needs the GIL. */
#ifndef CW_WSGI_WSGI_H
#define CW_WSGI_WSGI_H

#include <pthread.h>
#include <stdbool.h>

#include "http/app.h"
#include "wsgi/python.h"

/* Adds the types and the exception to the module `_core`. */
CW_RAISES int cw_wsgi_init(PyObject *module);

/* Prepares requests: fills `app`. The two flags are told to applications as
 * wsgi.multithread and wsgi.multiprocess. */
CW_RAISES int cw_wsgi_begin(cw_app_t *app, bool multithread, bool multiprocess);

/* --root-path, borrowed; before the first app is mounted. */
void cw_wsgi_set_root_path(const char *path);

/* Serves `callable`, an ASGI app where it is `async`, for paths below `prefix`, which
 * becomes SCRIPT_NAME; NULL: below $SCRIPT_NAME, which is the main app's place, as
 * gunicorn has it. "" is for every path that no longer prefix matches. Takes its own
 * references; before the first request. */
CW_RAISES int cw_wsgi_mount(const char *prefix, PyObject *callable, bool async);

/* _core._replace_app(old, new): requests call `new` from now on, wherever they would
 * have called `old`, which has to live on: another thread may be about to call it. */
CW_NEW PyObject *cw_wsgi_replace_app(PyObject *module, PyObject *args);

/* Whether files of wsgi.file_wrapper are sent by sendfile(2); they are at first. */
void cw_wsgi_set_sendfile(bool on);

/* The object whose pre_request() and post_request() are called around each request
 * (cwsgi._hooks.WorkerHooks); borrowed. NULL: none. */
void cw_wsgi_set_hooks(PyObject *hooks);

/* The same, borrowed; None where there is none. */
PyObject *cw_wsgi_hooks(void);

/* Raises RequestTimeout in the app thread `id`, after logging its stack, if it is in a
 * request. */
void cw_wsgi_interrupt(pthread_t id);

/* Logs that the event loop's thread has been in one call for so long, with its stack.
 */
void cw_wsgi_report_block(pthread_t id, int64_t ms);

/* The calling thread runs no more requests. */
void cw_wsgi_thread_end(void);

/* Ends a process that the app forked and in which it came back to us, while we started
 * or in a hook. Does nothing in the worker itself. */
void cw_wsgi_end_forked(void);

/* os.register_at_fork(when=hook), for good: `when` is "before", "after_in_parent" or
 * "after_in_child". GIL held. Returns 0, or -1 with an exception. */
CW_RAISES int cw_wsgi_at_fork(const char *when, PyObject *hook);

/* What logs exceptions first: called with what they ended (str), the request ("GET /")
 * or None, and the exception; false where it could not. Borrowed; NULL: none. */
void cw_wsgi_set_reporter(PyObject *reporter);

/* Logs the current exception, with `what` in front, and clears it. */
void cw_wsgi_report(const char *what);

/* Drops the applications and the caches. */
void cw_wsgi_clear(void);

#endif
