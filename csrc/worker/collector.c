/* SPDX-License-Identifier: MIT */
/* Module gc's functions are replaced for the time of the import, since C cannot ask
 * what the app wants. A thread watches how the process grows, without the GIL. */
#include "worker/collector.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/event.h"
#include "wsgi/wsgi.h"

enum { TICK_MS = 5 };

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

/* The process's. With the GIL, but for what the watch reads. */
static struct {
  bool paused;  /* it rests for us */
  bool wanted;  /* what the app has chosen */
  PyObject *gc; /* the module, whatever the app does to sys.modules */
  PyObject *originals[N_FUNCTIONS], *ours[N_FUNCTIONS];
  long frozen; /* so many objects were, before: CPython 3.12 freezes immortal ones */

  bool watched;
  pthread_t watch;
  cw_event_t begun, end;
  PyThreadState *state; /* the watch's: there may be no memory for one later */
  int statm;            /* open while it watches: there may be no descriptor later */
  int64_t first;        /* resident bytes, at first */
  int above;            /* a descriptor of this number tells that many are open */
} own = {.statm = -1};

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

/* Puts ours in the place of module gc's. Returns 0 or -1. */
static CW_RAISES int replace(void) {
  for (int i = 0; i < N_FUNCTIONS; i++) {
    const char *name = functions[i].ml_name;
    own.originals[i] = PyObject_GetAttrString(own.gc, name);
    own.ours[i] = own.originals[i] ? PyCFunction_New(&functions[i], own.gc) : NULL;
    if (!own.ours[i] || PyObject_SetAttrString(own.gc, name, own.ours[i]) < 0)
      return -1;
  }
  return 0;
}

/* Gives back what was there, but where the app has put something else, or nothing. */
static void put_back(void) {
  for (int i = 0; i < N_FUNCTIONS; i++) {
    const char *name = functions[i].ml_name;
    PyObject *now = PyObject_GetAttrString(own.gc, name);
    if (now && now == own.ours[i])
      (void)PyObject_SetAttrString(own.gc, name, own.originals[i]);
    PyErr_Clear();
    Py_XDECREF(now);
    Py_CLEAR(own.ours[i]);
    Py_CLEAR(own.originals[i]);
  }
}

static void give_back(void) {
  if (!own.paused) return;
  own.paused = false;
  if (own.wanted) PyGC_Enable();
}

/* ---- how the process grows ------------------------------------------------ */

/* Resident bytes, or -1. Allocates nothing. */
static int64_t resident(void) {
  char text[128];
  long long pages;
  ssize_t n = pread(own.statm, text, sizeof(text) - 1, 0);
  text[n > 0 ? n : 0] = '\0';
  if (sscanf(text, "%*d %lld", &pages) != 1) return -1;
  return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* Whether garbage may hold too much: memory, or descriptors, of which the lowest that
 * is free is always the next. */
static bool is_large(void) {
  int64_t now = resident();
  return now < 0 || now > own.first + CW_COLLECTOR_MOST ||
         fcntl(own.above, F_GETFD) >= 0;
}

static void *watch_main(void *unused) {
  pthread_setname_np(pthread_self(), "cwsgi-import");
  /* libpython's thread-local data is made at its first use, and glibc aborts where
   * there is no memory for it then. */
  (void)PyGILState_Check();
  cw_event_set(&own.begun);
  while (!cw_event_wait_for(&own.end, TICK_MS)) {
    if (!is_large()) continue;
    /* Not by Py_AddPendingCall(): a main thread that computes alone does not look for
     * calls of others before CPython 3.12. */
    PyEval_RestoreThread(own.state);
    give_back();
    (void)PyEval_SaveThread();
    break;
  }
  return NULL;
}

/* What the watch needs, all of it before it is needed. Returns whether it is there. */
static bool prepare(void) {
  struct rlimit files;
  own.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  own.first = own.statm < 0 ? -1 : resident();
  if (own.first < 0 || getrlimit(RLIMIT_NOFILE, &files) != 0) return false;
  rlim_t used = (rlim_t)own.statm, room = CW_MAX(files.rlim_cur, used) - used;
  own.above = own.statm + (int)CW_MIN(room / 2, (rlim_t)CW_COLLECTOR_FILES);
  own.state = PyThreadState_New(PyInterpreterState_Get());
  return own.state != NULL && own.above > own.statm;
}

static void let_go(void) {
  if (own.state) {
    PyThreadState_Clear(own.state);
    PyThreadState_Delete(own.state);
    own.state = NULL;
  }
  if (own.statm >= 0) close(own.statm);
  own.statm = -1;
}

/* Starts it, where that is possible. Signals are other threads'. */
static void watch(void) {
  sigset_t all, before;
  if (prepare()) {
    cw_event_init(&own.begun);
    cw_event_init(&own.end);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    own.watched = pthread_create(&own.watch, NULL, watch_main, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  if (!own.watched) {
    let_go();
    return;
  }
  Py_BEGIN_ALLOW_THREADS
  cw_event_wait(&own.begun);
  Py_END_ALLOW_THREADS
}

/* Without the GIL, which it may be waiting for. */
static void end_watch(void) {
  if (!own.watched) return;
  own.watched = false;
  cw_event_set(&own.end);
  Py_BEGIN_ALLOW_THREADS
  pthread_join(own.watch, NULL);
  Py_END_ALLOW_THREADS
  let_go();
}

/* A child goes on without us, and CPython warns whoever forks beside threads. */
static PyObject *before_fork(PyObject *self, PyObject *unused) {
  end_watch();
  give_back();
  Py_RETURN_NONE;
}

static PyMethodDef fork_hook = {"before_fork", before_fork, METH_NOARGS, NULL};

static CW_RAISES int register_at_fork(void) {
  PyObject *hook = PyCFunction_New(&fork_hook, NULL);
  int rc = hook ? cw_wsgi_at_fork("before", hook) : -1;
  Py_XDECREF(hook);
  return rc;
}

/* ---- pause and resume ----------------------------------------------------- */

/* Calls a function of module gc, and returns its number or 0; -1 with an exception. */
static CW_RAISES long call(const char *name) {
  PyObject *r = PyObject_CallMethod(own.gc, name, NULL);
  long number = r && PyLong_Check(r) ? PyLong_AsLong(r) : r ? 0 : -1;
  Py_XDECREF(r);
  return number;
}

/* Moves all that is young to what is old: into what is frozen, and out of it. Where the
 * app has taken these functions away, it stays young. */
static void age(void) {
  if (call("get_freeze_count") == own.frozen && call("freeze") == 0)
    (void)call("unfreeze");
  PyErr_Clear();
}

int cw_collector_pause(void) {
  CW_ASSERT_GIL();
  if (!PyGC_IsEnabled()) return 0;
  own.gc = PyImport_ImportModule("gc");
  own.frozen = own.gc ? call("get_freeze_count") : -1;
  if (own.frozen < 0 || register_at_fork() < 0) return -1;
  watch();
  if (!own.watched) return 0;
  own.paused = own.wanted = true;
  PyGC_Disable();
  if (replace() == 0) return 0;
  cw_collector_resume();
  return -1;
}

void cw_collector_resume(void) {
  CW_ASSERT_GIL();
  PyObject *exc = cw_exc_take();
  end_watch();
  if (own.gc) put_back();
  if (own.paused) age();
  give_back();
  Py_CLEAR(own.gc);
  cw_exc_put(exc);
}
