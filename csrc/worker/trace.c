/* SPDX-License-Identifier: MIT */
/* Calls of cwsgi._boot_trace. */
#include "worker/trace.h"

#include "base/log.h"
#include "wsgi/wsgi.h"

/* cwsgi._boot_trace.Trace, or NULL; for the process's life. */
static PyObject *trace;

int cw_trace_begin(const cw_settings_t *s) {
  CW_ASSERT_GIL();
  PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
  const char *file = cw_opt_str(s, CW_OPT_BOOT_TRACE);
  if (!file || !PyDict_GetItemString(modules, "_cwsgi_boot")) return 0;
  PyObject *module = PyImport_ImportModule("cwsgi._boot_trace");
  if (module)
    trace = PyObject_CallMethod(module, "begin", "sss", file,
                                cw_opt_str(s, CW_OPT_LOGLEVEL), cw_settings_name(s));
  Py_XDECREF(module);
  if (trace == Py_None) Py_CLEAR(trace);
  return PyErr_Occurred() ? -1 : 0;
}

/* Calls trace.name(text), or trace.name() where that is NULL. */
static void tell(const char *name, const char *text) {
  CW_ASSERT_GIL();
  if (!trace) return;
  PyObject *r = text ? PyObject_CallMethod(trace, name, "s", text)
                     : PyObject_CallMethod(trace, name, NULL);
  if (!r) cw_wsgi_report("Exception in the trace of the start");
  Py_XDECREF(r);
}

void cw_trace_phase(const char *name) {
  tell("phase", name);
}

void cw_trace_startup(void) {
  tell("startup", NULL);
}

void cw_trace_listening(void) {
  tell("listening", NULL);
}

void cw_trace_end(void) {
  tell("end", NULL);
}

PyObject *cw_trace_app(PyObject *app, bool async) {
  CW_ASSERT_GIL();
  if (!trace || !app) return app;
  PyObject *r =
      PyObject_CallMethod(trace, "app", "OO", app, async ? Py_True : Py_False);
  if (!r) cw_wsgi_report("Exception in the trace of the start");
  if (!r) return app;
  Py_DECREF(app);
  return r;
}

void cw_trace_forked(int age) {
  CW_ASSERT_GIL();
  if (!trace) return;
  if (age == 1) {
    tell("phase", "worker");
    return;
  }
  tell("drop", NULL);
  Py_CLEAR(trace);
}
