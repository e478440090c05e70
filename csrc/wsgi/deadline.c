/* SPDX-License-Identifier: MIT */
/* --request-timeout in the app's thread: its stack goes to the log, RequestTimeout is
 * raised in it at its next bytecode. Everything here is guarded by the GIL. */
#include "base/log.h"
#include "wsgi/wsgi.h"
#include "wsgi/wsgi_internal.h"

/* Made once, for the process's life. */
PyObject *cw_request_timeout;

void cw_deadline_clear(cw_runner_t *runner) {
  runner->hit = false;
  PyThreadState_SetAsyncExc((unsigned long)runner->id, NULL);
}

/* The stack of a thread as text. */
static CW_NEW PyObject *stack_of(unsigned long ident) {
  PyObject *frames = NULL, *frame = NULL, *lines = NULL, *sep = NULL, *text = NULL;
  PyObject *sys = PyImport_ImportModule("sys"), *key = PyLong_FromUnsignedLong(ident);
  PyObject *traceback = PyImport_ImportModule("traceback");
  if (sys && key && traceback)
    frames = PyObject_CallMethod(sys, "_current_frames", NULL);
  if (frames) frame = Py_XNewRef(PyDict_GetItemWithError(frames, key));
  if (frame) lines = PyObject_CallMethod(traceback, "format_stack", "O", frame);
  if (lines && (sep = PyUnicode_FromString(""))) text = PyUnicode_Join(sep, lines);
  Py_XDECREF(sep);
  Py_XDECREF(lines);
  Py_XDECREF(frame);
  Py_XDECREF(frames);
  Py_XDECREF(traceback);
  Py_XDECREF(key);
  Py_XDECREF(sys);
  return text;
}

/* Logs a line, and the stack of a thread under it. */
static void log_stack(cw_log_level_t level, unsigned long ident, const char *line) {
  PyObject *text = stack_of(ident);
  PyObject *bytes =
      text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
  PyErr_Clear();
  cw_log_text(level, bytes ? PyBytes_AS_STRING(bytes) : NULL,
              bytes ? (size_t)PyBytes_GET_SIZE(bytes) : 0, "%s", line);
  Py_XDECREF(bytes);
  Py_XDECREF(text);
}

void cw_wsgi_report_block(pthread_t id, int64_t ms) {
  CW_ASSERT_GIL();
  char line[128];
  snprintf(
      line, sizeof(line),
      "the event loop has been blocked for %.1f s: nothing else runs meanwhile. At",
      (double)ms / 1000);
  log_stack(CW_LOG_WARNING, (unsigned long)id, line);
}

void cw_wsgi_interrupt(pthread_t id) {
  CW_ASSERT_GIL();
  cw_runner_t *p = cw_runner_of(id);
  if (!p || !p->open) return;
  unsigned call = p->calls;
  log_stack(CW_LOG_ERROR, (unsigned long)id,
            "REQUEST TIMEOUT: raising cwsgi.RequestTimeout in the thread at");
  /* Formatting may have let others run: it may be done by now, or at its next one. */
  if (!p->open || p->calls != call) return;
  p->hit = true;
  PyThreadState_SetAsyncExc((unsigned long)id, cw_request_timeout);
}

int cw_deadline_init(PyObject *module) {
  cw_request_timeout = PyErr_NewExceptionWithDoc(
      "cwsgi.RequestTimeout",
      "The request has run longer than --request-timeout. Raised in its thread at its "
      "next bytecode: what blocks in C ends first.",
      PyExc_Exception, NULL);
  if (!cw_request_timeout) return -1;
  return PyModule_AddObjectRef(module, "RequestTimeout", cw_request_timeout);
}
