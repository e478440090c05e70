/* SPDX-License-Identifier: MIT */
/* Processes that the app forks in a request, while it is imported, in a hook. What they
 * do is theirs; but where they come back to us they are not the server, and end. */
#include <unistd.h>

#include "base/forked.h"
#include "base/log.h"
#include "wsgi/wsgi.h"
#include "wsgi/wsgi_internal.h"

static void flush(const char *name) {
  PyObject *file = PySys_GetObject(name); /* borrowed */
  PyObject *r =
      file && file != Py_None ? PyObject_CallMethod(file, "flush", NULL) : NULL;
  Py_XDECREF(r);
  PyErr_Clear();
}

/* The exit status of SystemExit as sys.exit() was told. */
static int exit_status(void) {
  PyObject *exc = cw_exc_take(), *code = PyObject_GetAttrString(exc, "code");
  int status = 1;
  if (code == Py_None) {
    status = 0;
  } else if (code && PyLong_Check(code)) {
    status = (int)PyLong_AsLong(code) & 0xff;
  } else if (code) {
    PySys_FormatStderr("%S\n", code);
  }
  PyErr_Clear();
  Py_XDECREF(code);
  Py_XDECREF(exc);
  return status;
}

void cw_forks_end(void) {
  CW_ASSERT_GIL();
  int status = 0;
  if (PyErr_Occurred()) {
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
      status = exit_status();
    } else {
      cw_report_exception("Exception in a process that the app forked", NULL);
      status = 1;
    }
  } else {
    cw_log(CW_LOG_WARNING,
           "a process that the app forked came back from it, and ends here: end it by "
           "os._exit()");
  }
  cw_errors_flush();
  flush("stdout");
  flush("stderr");
  /* Nothing of the interpreter is finalized: other threads' locks may be held for ever.
   */
  _exit(status);
}

void cw_wsgi_end_forked(void) {
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
}

int cw_wsgi_at_fork(const char *when, PyObject *hook) {
  CW_ASSERT_GIL();
  PyObject *os = PyImport_ImportModule("os");
  PyObject *call = os ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
  PyObject *kwargs = call ? Py_BuildValue("{s:O}", when, hook) : NULL;
  PyObject *args = kwargs ? PyTuple_New(0) : NULL;
  PyObject *r = args ? PyObject_Call(call, args, kwargs) : NULL;
  Py_XDECREF(args);
  Py_XDECREF(kwargs);
  Py_XDECREF(call);
  Py_XDECREF(os);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

int cw_forks_check(void) {
  if (CW_LIKELY(!cw_forked_child)) return 0;
  PyErr_SetString(PyExc_OSError,
                  "a process that the app forked has no part in its connection");
  return -1;
}
