/* SPDX-License-Identifier: MIT */
/* Module gc's functions are replaced for the time of the import, since C cannot ask
 * what the app wants. A thread that needs nothing of Python's watches how the process
 * grows.
 */
#include "worker/collector.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/event.h"

enum { TICK_MS = 25 };

static PyObject *disable(PyObject *self, PyObject *unused);
static PyObject *enable(PyObject *self, PyObject *unused);
static PyObject *isenabled(PyObject *self, PyObject *unused);

static PyMethodDef functions[] = {
    {"disable", disable, METH_NOARGS,
     "disable($module, /)\n--\n\nDisable automatic garbage collection."},
    {"enable", enable, METH_NOARGS,
     "enable($module, /)\n--\n\nEnable automatic garbage collection."},
    {"isenabled", isenabled, METH_NOARGS,
     "isenabled($module, /)\n--\n\nWhether automatic garbage collection is enabled."},
};
enum { N_FUNCTIONS = CW_ARRAY_LEN(functions) };

/* The process's. With the GIL, but for the watch's event. */
static struct {
  bool paused; /* it rests for us */
  bool wanted; /* what the app has chosen */
  long frozen; /* so many objects were, before: CPython 3.12 freezes immortal ones */
  PyObject *originals[N_FUNCTIONS], *ours[N_FUNCTIONS];
  bool watched;
  pthread_t watch;
  cw_event_t end;
} own;

/* ---- what the app sees of it ---------------------------------------------- */

/* An app may keep these for ever. */
static PyObject *disable(PyObject *self, PyObject *unused) {
  own.wanted = false;
  PyGC_Disable();
  Py_RETURN_NONE;
}

static PyObject *enable(PyObject *self, PyObject *unused) {
  own.wanted = true;
  if (!own.paused) PyGC_Enable();
  Py_RETURN_NONE;
}

static PyObject *isenabled(PyObject *self, PyObject *unused) {
  return PyBool_FromLong(own.paused ? own.wanted : PyGC_IsEnabled());
}

/* Puts ours in the place of module gc's, or what was there back. Returns 0 or -1. */
static CW_RAISES int replace(PyObject *gc, bool back) {
  for (int i = 0; i < N_FUNCTIONS; i++) {
    const char *name = functions[i].ml_name;
    PyObject *now = PyObject_GetAttrString(gc, name);
    if (!now) return -1;
    int rc = 0;
    if (!back) {
      own.originals[i] = Py_NewRef(now);
      own.ours[i] = PyCFunction_New(&functions[i], gc);
      rc = own.ours[i] ? PyObject_SetAttrString(gc, name, own.ours[i]) : -1;
    } else if (now == own.ours[i]) {
      rc = PyObject_SetAttrString(gc, name, own.originals[i]);
    }
    Py_DECREF(now);
    if (rc < 0) return -1;
    if (back) {
      Py_CLEAR(own.ours[i]);
      Py_CLEAR(own.originals[i]);
    }
  }
  return 0;
}

static void give_back(void) {
  if (!own.paused) return;
  own.paused = false;
  if (own.wanted) PyGC_Enable();
}

/* ---- how the process grows ------------------------------------------------ */

/* Bytes of memory of this process alone, or -1. Allocates nothing. */
static int64_t grown(void) {
  char text[128];
  long long resident, shared;
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = read(fd, text, sizeof(text) - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  if (sscanf(text, "%*d %lld %lld", &resident, &shared) != 2) return -1;
  return (int64_t)(resident - shared) * sysconf(_SC_PAGESIZE);
}

static void *watch_main(void *first) {
  int64_t most = *(const int64_t *)first + CW_COLLECTOR_MOST;
  pthread_setname_np(pthread_self(), "cwsgi-import");
  while (!cw_event_wait_for(&own.end, TICK_MS)) {
    if (grown() <= most) continue;
    /* Not by Py_AddPendingCall(): a main thread that computes alone does not look for
     * calls of others before CPython 3.12. */
    PyGILState_STATE state = PyGILState_Ensure();
    give_back();
    PyGILState_Release(state);
    break;
  }
  return NULL;
}

/* Starts it, where that is possible. Signals are other threads'. */
static void watch(void) {
  static int64_t first; /* the thread reads it */
  sigset_t all, before;
  first = grown();
  if (first < 0) return;
  cw_event_init(&own.end);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  own.watched = pthread_create(&own.watch, NULL, watch_main, &first) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Without the GIL, which it may be waiting for. */
static void end_watch(void) {
  if (!own.watched) return;
  own.watched = false;
  cw_event_set(&own.end);
  Py_BEGIN_ALLOW_THREADS
  pthread_join(own.watch, NULL);
  Py_END_ALLOW_THREADS
}

/* A child goes on without us, and CPython warns whoever forks beside threads. */
static PyObject *before_fork(PyObject *self, PyObject *unused) {
  end_watch();
  give_back();
  Py_RETURN_NONE;
}

static PyMethodDef fork_hook = {"before_fork", before_fork, METH_NOARGS, NULL};

static CW_RAISES int register_at_fork(void) {
  PyObject *os = PyImport_ImportModule("os");
  PyObject *call = os ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
  PyObject *hook = call ? PyCFunction_New(&fork_hook, NULL) : NULL;
  PyObject *kwargs = hook ? Py_BuildValue("{s:O}", "before", hook) : NULL;
  PyObject *args = kwargs ? PyTuple_New(0) : NULL;
  PyObject *r = args ? PyObject_Call(call, args, kwargs) : NULL;
  Py_XDECREF(args);
  Py_XDECREF(kwargs);
  Py_XDECREF(hook);
  Py_XDECREF(call);
  Py_XDECREF(os);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

/* ---- pause and resume ----------------------------------------------------- */

/* Calls a function of module gc, and returns its number or 0; -1 with an exception. */
static CW_RAISES long call(PyObject *gc, const char *name) {
  PyObject *r = PyObject_CallMethod(gc, name, NULL);
  long number = r && PyLong_Check(r) ? PyLong_AsLong(r) : r ? 0 : -1;
  Py_XDECREF(r);
  return number;
}

/* Moves all that is young to what is old: into what is frozen, and out of it. */
static CW_RAISES int age(PyObject *gc) {
  long frozen = call(gc, "get_freeze_count");
  if (frozen != own.frozen) return frozen < 0 ? -1 : 0;
  return call(gc, "freeze") < 0 || call(gc, "unfreeze") < 0 ? -1 : 0;
}

int cw_collector_pause(void) {
  CW_ASSERT_GIL();
  if (!PyGC_IsEnabled()) return 0;
  PyObject *gc = PyImport_ImportModule("gc");
  int rc = gc ? register_at_fork() : -1;
  own.frozen = rc == 0 ? call(gc, "get_freeze_count") : 0;
  if (own.frozen < 0) rc = -1;
  if (rc == 0) watch();
  if (rc == 0 && own.watched) {
    own.paused = own.wanted = true;
    rc = replace(gc, false);
    PyGC_Disable();
  }
  Py_XDECREF(gc);
  return rc;
}

int cw_collector_resume(void) {
  CW_ASSERT_GIL();
  end_watch();
  if (!own.ours[0]) return 0;
  bool rested = own.paused;
  PyObject *gc = PyImport_ImportModule("gc");
  int rc = gc ? replace(gc, true) : -1;
  if (rc == 0 && rested) rc = age(gc);
  give_back();
  Py_XDECREF(gc);
  return rc;
}
