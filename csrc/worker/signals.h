/* SPDX-License-Identifier: MIT */
/* Signals of a worker: the supervisor's words, the app's own handlers, Ctrl-C.
 *
 * The supervisor says what it wants twice: by the usual signal, for which the app may
 * have a handler, and by a byte in a pipe, which reaches the loop whatever the app did.
 * Handlers of ours only note what came and write to an eventfd, both of which live as
 * long as the process.
 *
 * The app's Python-level handlers run on the main thread (Python's `signal`), which
 * therefore has to wake up for them: CPython writes to a pipe of ours. With one thread
 * the loop watches it; with more the main thread runs no request and waits for it. */
#ifndef CW_WORKER_SIGNALS_H
#define CW_WORKER_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "http/server.h"
#include "worker/sched.h"
#include "wsgi/python.h"

/* Before the app is imported: from here on TERM, INT, QUIT and USR1 are ours unless the
 * app takes them, and processes that it forks get none of it. `grace_ms` is what TERM
 * leaves to running requests. Main thread, GIL held. */
CW_RAISES int cw_signals_begin(int64_t grace_ms);

/* CW_SIGNAL_SHOW may come from here on: after cw_show_init(). */
void cw_signals_show(void);

/* Where the supervisor's words come in: the reading end of a pipe, taken. */
void cw_signals_set_word_fd(int fd);

/* The app is imported, and this is the process that will serve: what it left to kill
 * the process at once is ours again. Main thread, GIL held. */
CW_RAISES int cw_signals_imported(void);

/* The loop listens to words and signals for as long as `sched` serves. `main_runs`
 * says that the main thread runs requests. Returns 0 or a negative errno. */
CW_MUSTCHECK int cw_signals_serve(cw_server_t *srv, cw_sched_t *sched, bool main_runs);

/* The service is over: from here on a signal ends the process at once. */
void cw_signals_end(void);

/* Waits, with the GIL released, until a signal may have come for the app or
 * cw_signals_rouse() was called. Main thread, GIL not held. */
void cw_signals_wait_nogil(void);
/* Any thread. */
void cw_signals_rouse(void);

/* Runs the app's handlers for what has come. What they raise is logged; SystemExit and
 * KeyboardInterrupt end the worker as TERM and INT do. Main thread, GIL held. */
void cw_signals_run(void);

/* Makes sure that CPython's pipe is still ours, unless the app has one of its own.
 * Returns whether there was none: a signal may have come unseen. Main thread (elsewhere
 * nothing happens), GIL held. */
bool cw_signals_keep_wakeup(void);

/* Whether the worker was told to end quickly. */
bool cw_signals_interrupted(void);

/* _core._signalled(number, frame): what signal.getsignal() answers for the signals that
 * are ours, so that a handler of the app may call the one before it. */
CW_NEW PyObject *cw_signals_signalled(PyObject *module, PyObject *args);

/* _core._forked(): in a child that the app forked, Python's table of handlers becomes
 * that of a plain process. For os.register_at_fork(). */
CW_NEW PyObject *cw_signals_forked(PyObject *module, PyObject *unused);

/* What the app has begun is to be ended: from now on a signal is noted for
 * cw_signals_serve(), where it would have ended the process. */
void cw_signals_hold(void);

/* As the app's own KeyboardInterrupt (`quick`) and SystemExit do. */
void cw_signals_ask_stop(bool quick);

/* Python waits at its end for the app's threads and functions, maybe for ever. A check
 * knows its answer before: three seconds from now the process ends with `code`. */
void cw_signals_limit_check(int code);

#endif
