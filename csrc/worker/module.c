/* SPDX-License-Identifier: MIT */
/* The extension module cwsgi._core. */
#include "asgi/asgi.h"
#include "worker/coroutines.h"
#include "worker/faults.h"
#include "worker/signals.h"
#include "worker/view.h"
#include "worker/worker.h"
#include "wsgi/wsgi.h"

static PyMethodDef methods[] = {
    {"_worker", cw_worker_main, METH_VARARGS,
     "_worker(fd, slot, /)\n--\n\nRuns a worker; for the cwsgi program only."},
    {"_changed", cw_worker_changed, METH_O,
     "_changed(path, /)\n--\n\nA file of the app has changed: reload everything."},
    {"_signalled", cw_signals_signalled, METH_VARARGS,
     "_signalled(number, frame, /)\n--\n\nWhat this signal means to a worker."},
    {"_forked", cw_signals_forked, METH_NOARGS,
     "_forked()\n--\n\nGives signals back in a child of the app."},
    {"_log", cw_worker_log, METH_VARARGS,
     "_log(level, text, /)\n--\n\nWrites a line to the error log."},
    {"_asgi_stop", cw_coroutines_stop, METH_O,
     "_asgi_stop(quick, /)\n--\n\nThe worker is to stop."},
    {"_asgi_keep_wakeup", cw_coroutines_keep_wakeup, METH_NOARGS,
     "_asgi_keep_wakeup()\n--\n\nHas signals end a wait, where nobody else has."},
    {"_syslog", cw_worker_syslog, METH_VARARGS,
     "_syslog(source, level, text, /)\n--\n\nSends a line to syslog."},
    {"_board_read", cw_view_read, METH_O,
     "_board_read(memory, /)\n--\n\nWhat is on a server's board; for tools."},
    {"_board_watch", cw_view_watch, METH_VARARGS,
     "_board_watch(memory, ms, /)\n--\n\nSomebody looks for so long."},
    {"_board_ask", cw_view_ask, METH_VARARGS,
     "_board_ask(memory, slot, now, /)\n--\n\nThe next signal asks for stacks."},
    {"_board_answer", cw_view_answer, METH_VARARGS,
     "_board_answer(memory, number, /)\n--\n\nThe stacks, once they are there."},
    {"_replace_app", cw_wsgi_replace_app, METH_VARARGS,
     "_replace_app(old, new, /)\n--\n\nRequests call the other one from now on."},
#ifdef CW_FAULTS
    {"_fault_arm", cw_faults_arm, METH_O,
     "_fault_arm(n, /)\n--\n\nThe n-th allocation from now on fails."},
    {"_fault_left", cw_faults_left, METH_NOARGS,
     "_fault_left()\n--\n\nAllocations until then; 0 once it failed."},
#endif
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "cwsgi._core",
    .m_doc = "The server's part inside CPython.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void) {
#ifdef CW_FAULTS
  cw_faults_install();
#endif
  PyObject *module = PyModule_Create(&definition);
  if (module && (cw_wsgi_init(module) < 0 || cw_asgi_init(module) < 0))
    Py_CLEAR(module);
  return module;
}
