/* SPDX-License-Identifier: MIT */
/* A worker's life inside the interpreter, from the heritage to its exit code. */
#ifndef CW_WORKER_WORKER_H
#define CW_WORKER_WORKER_H

#include "wsgi/python.h"

/* _core._worker(fd, slot): serves until stopped. `fd` is the heritage's memfd. Returns
 * the exit code. Main thread, GIL held. */
CW_NEW PyObject *cw_worker_main(PyObject *module, PyObject *args);

/* cwsgi._core._changed(path): a file of the app has changed, reload everything. */
CW_NEW PyObject *cw_worker_changed(PyObject *module, PyObject *path);

/* cwsgi._core._log(level, text): a line of the error log. */
CW_NEW PyObject *cw_worker_log(PyObject *module, PyObject *args);
CW_NEW PyObject *cw_worker_syslog(PyObject *module, PyObject *args);

#endif
