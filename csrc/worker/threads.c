/* SPDX-License-Identifier: MIT */
/* Names and hooks of our threads. */
#include "worker/threads.h"

#include <stdio.h>

#include "worker/signals.h"
#include "wsgi/wsgi.h"

/* Each thread's own; cw_threads_end() drops the references. */
static _Thread_local struct {
  int number;
  bool named;
  PyObject *trace, *profile; /* as set last; NULL: none */
} self;

/* The interpreter's, for the process's life; guarded by the GIL. */
static PyObject *threading; /* the module's dict, once it is there */
static PyObject *k_threading, *k_asyncio, *k_trace, *k_profile, *modules;
static unsigned long main_ident;
static bool mend_main;

int cw_threads_init(void) {
  CW_ASSERT_GIL();
  k_threading = PyUnicode_InternFromString("threading");
  k_asyncio = PyUnicode_InternFromString("asyncio");
  k_trace = PyUnicode_InternFromString("_trace_hook");
  k_profile = PyUnicode_InternFromString("_profile_hook");
  modules = Py_XNewRef(PyImport_GetModuleDict());
  main_ident = PyThread_get_thread_ident();
  if (!k_threading || !k_asyncio || !k_trace || !k_profile) return -1;
  return 0;
}

bool cw_threads_have_asyncio(void) {
  return PyDict_GetItemWithError(modules, k_asyncio) != NULL;
}

/* Calls threading.current_thread() or main_thread(). */
static CW_NEW PyObject *ask(const char *which) {
  PyObject *fn = PyDict_GetItemString(threading, which); /* borrowed */
  return fn ? PyObject_CallNoArgs(fn) : NULL;
}

/* Whether `threading` takes this thread for the main one, which it is not. */
static bool taken_for_main(void) {
  PyObject *thread = ask("main_thread");
  PyObject *ident = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
  bool wrong =
      ident && PyLong_Check(ident) && PyLong_AsUnsignedLong(ident) != main_ident;
  PyErr_Clear();
  Py_XDECREF(ident);
  Py_XDECREF(thread);
  return wrong;
}

/* Whether `threading` is there by now, and whole. */
static bool find_threading(void) {
  PyObject *module = PyDict_GetItemWithError(modules, k_threading); /* borrowed */
  /* Its last statement registers this at fork: before, it is still being imported. */
  if (!module || !PyModule_Check(module) ||
      !PyDict_GetItemString(PyModule_GetDict(module), "_after_fork"))
    return false;
  threading = Py_NewRef(PyModule_GetDict(module));
  if (PY_VERSION_HEX < 0x030D0000 && taken_for_main()) {
    mend_main = true;
    cw_signals_rouse();
  }
  return true;
}

static void name_thread(void) {
  char text[32];
  if (mend_main) return; /* it may be the one that is taken for another */
  self.named = true;
  PyObject *thread = ask("current_thread");
  snprintf(text, sizeof(text), "cwsgi-app-%d", self.number);
  PyObject *name = thread ? PyUnicode_FromString(text) : NULL;
  if (name) (void)PyObject_SetAttrString(thread, "name", name);
  PyErr_Clear();
  Py_XDECREF(name);
  Py_XDECREF(thread);
}

/* Follows one hook of `threading`: sys.settrace() or sys.setprofile() where it is not
 * what it was. */
static void follow(PyObject *key, PyObject **last, const char *function) {
  PyObject *now = PyDict_GetItemWithError(threading, key); /* borrowed */
  if (now == Py_None) now = NULL;
  if (now == *last) return;
  PyObject *old = *last;
  *last = Py_XNewRef(now);
  PyObject *fn = PySys_GetObject(function); /* borrowed */
  PyObject *r = fn ? PyObject_CallOneArg(fn, now ? now : Py_None) : NULL;
  PyErr_Clear();
  Py_XDECREF(r);
  Py_XDECREF(old);
}

void cw_threads_begin(int number) {
  self.number = number;
  cw_threads_sync();
}

void cw_threads_sync(void) {
  if (self.number == 0) return;
  if (CW_LIKELY(!threading) && !find_threading()) return;
  if (CW_UNLIKELY(!self.named)) name_thread();
  follow(k_trace, &self.trace, "settrace");
  follow(k_profile, &self.profile, "setprofile");
}

void cw_threads_end(void) {
  CW_ASSERT_GIL();
  Py_CLEAR(self.trace);
  Py_CLEAR(self.profile);
}

void cw_threads_mend_main(void) {
  CW_ASSERT_GIL();
  if (CW_LIKELY(!mend_main)) return;
  PyObject *module = PyImport_ImportModule("cwsgi._threads");
  PyObject *r = module ? PyObject_CallMethod(module, "become_main", NULL) : NULL;
  /* Only now: others run while this imports, and would take the wrong name. */
  mend_main = false;
  if (!r) cw_wsgi_report("Cannot tell threading which thread is the main one");
  Py_XDECREF(r);
  Py_XDECREF(module);
}
