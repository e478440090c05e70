/* SPDX-License-Identifier: MIT */
/* The event loop's wait: a turn of the server's loop, after which requests are begun
 * and those that wait are woken, before Python sees any of it. */
#include <math.h>

#include "asgi/waiter.h"
#include "base/clock.h"

static PyObject *no_events; /* an empty tuple, for the process's life */
static PyObject *poll_own;  /* polls the app's own descriptors; owned */
static PyObject *k_stop;

/* What asyncio's own loop would do next; owned. NULL: another loop, or another asyncio.
 */
static PyObject *ready_queue;
static PyObject *k_scheduled;
static bool finished;

/* Handles all there is. Returns whether there was any. */
static bool run_requests(void) {
  const cw_async_host_t *host = cw_asgi.host;
  bool any = false, is_new;
  cw_req_t *req;
  while ((req = host->next(host->data, &is_new)) != NULL) {
    any = true;
    if (is_new)
      cw_call_start(req);
    else
      cw_call_rouse(req);
  }
  return any;
}

/* The timeout of a select() in ms: -1 for ever. */
static CW_RAISES int read_timeout(PyObject *timeout, int64_t *ms) {
  *ms = -1;
  if (timeout == Py_None) return 0;
  double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1.0 && PyErr_Occurred()) return -1;
  /* Up, as asyncio's selectors do: a timer must not be early. */
  *ms = seconds <= 0 ? 0 : (int64_t)ceil(CW_MIN(seconds, 1e6) * 1e3);
  return 0;
}

/* Whether the loop has nothing to do but to wait again: then it need not be asked.
 * `timers` is its heap, from which only the loop itself takes any. */
static bool nothing_else(PyObject *timers, Py_ssize_t n_timers) {
  return timers && PyObject_Size(ready_queue) == 0 &&
         PyList_GET_SIZE(timers) == n_timers;
}

/* The loop's heap of timers, where it is one as we know it. */
static CW_NEW PyObject *timers_of_loop(void) {
  PyObject *timers = ready_queue ? PyObject_GetAttr(cw_asgi.loop, k_scheduled) : NULL;
  PyErr_Clear();
  if (timers && !PyList_CheckExact(timers)) Py_CLEAR(timers);
  return timers;
}

static CW_RAISES int stop_loop(void) {
  finished = true;
  PyObject *r = PyObject_CallMethodNoArgs(cw_asgi.loop, k_stop);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

static PyObject *asgi_select(PyObject *module, PyObject *timeout) {
  const cw_async_host_t *host = cw_asgi.host;
  int64_t ms;
  int found = 0, rc = 0;
  if (read_timeout(timeout, &ms) < 0) return NULL;
  PyObject *timers = timers_of_loop();
  Py_ssize_t n_timers = timers ? PyList_GET_SIZE(timers) : 0;
  int64_t end = ms > 0 ? cw_now_us() + ms * 1000 : 0;
  for (;;) {
    Py_BEGIN_ALLOW_THREADS
    found = host->wait(host->data, ms);
    Py_END_ALLOW_THREADS
    bool any = run_requests();
    if (found & CW_ASYNC_CANCEL) cw_calls_cancel();
    if (found & CW_ASYNC_FINISHED) rc = stop_loop();
    if (found || !any || ms == 0 || !nothing_else(timers, n_timers)) break;
    if (ms > 0 && (ms = (end - cw_now_us()) / 1000) <= 0) break;
  }
  Py_XDECREF(timers);
  if (rc < 0) return NULL;
  return found & CW_ASYNC_FD ? PyObject_CallNoArgs(poll_own) : Py_NewRef(no_events);
}

/* For another loop, which has seen that there is something. */
static PyObject *asgi_pump(PyObject *module, PyObject *unused) {
  const cw_async_host_t *host = cw_asgi.host;
  int found = host->wait(host->data, 0);
  run_requests();
  if (found & CW_ASYNC_CANCEL) cw_calls_cancel();
  if (found & CW_ASYNC_FINISHED && stop_loop() < 0) return NULL;
  Py_RETURN_NONE;
}

static PyObject *asgi_serve(PyObject *module, PyObject *poll) {
  Py_XSETREF(poll_own, Py_NewRef(poll));
  Py_CLEAR(ready_queue);
  finished = false;
  if (poll == Py_None) Py_RETURN_NONE;
  ready_queue = PyObject_GetAttrString(cw_asgi.loop, "_ready");
  if (ready_queue && PyObject_Size(ready_queue) < 0) Py_CLEAR(ready_queue);
  PyErr_Clear();
  Py_RETURN_NONE;
}

static PyObject *asgi_is_finished(PyObject *module, PyObject *unused) {
  return PyBool_FromLong(finished);
}

static PyMethodDef methods[] = {
    {"_asgi_select", asgi_select, METH_O,
     "_asgi_select(timeout, /)\n--\n\nIn place of a selector's select(): serves."},
    {"_asgi_pump", asgi_pump, METH_NOARGS,
     "_asgi_pump()\n--\n\nRuns what is there; for a loop that waits elsewhere."},
    {"_asgi_serve", asgi_serve, METH_O,
     "_asgi_serve(poll, /)\n--\n\nBefore the first of either: poll() returns the "
     "events "
     "of the loop's own descriptors; None where it waits elsewhere."},
    {"_asgi_is_finished", asgi_is_finished, METH_NOARGS,
     "_asgi_is_finished()\n--\n\nWhether the worker has stopped, and all is done."},
    {NULL, NULL, 0, NULL},
};

bool cw_asgi_is_for(void *data, cw_req_t *req) {
  const cw_mount_t *mount = cw_mount_find(cw_req_head(req)->path);
  /* Where all apps are ASGI apps no thread is to be made for a 404. */
  if (mount) return mount->async;
  for (unsigned i = 0; (mount = cw_mount_at(i)) != NULL; i++)
    if (!mount->async) return false;
  return true;
}

void cw_asgi_run(void *data, cw_req_t *req) {
  cw_req_set_async(req);
  cw_call_start(req);
  if (!cw_req_owner(req)) return; /* it has ended by now */
  PyObject *r = NULL;
  cw_asgi.settled = PyObject_CallMethodNoArgs(cw_asgi.loop, cw_s_create_future);
  if (cw_asgi.settled)
    r = PyObject_CallMethod(cw_asgi.loop, "run_until_complete", "O", cw_asgi.settled);
  if (!r) cw_report_exception("Error in a warm-up", cw_req_head(req));
  Py_CLEAR(cw_asgi.settled);
  Py_XDECREF(r);
}

CW_COLD int cw_loop_init(PyObject *module) {
  k_stop = PyUnicode_InternFromString("stop");
  k_scheduled = PyUnicode_InternFromString("_scheduled");
  no_events = PyTuple_New(0);
  if (!k_stop || !k_scheduled || !no_events) return -1;
  return PyModule_AddFunctions(module, methods);
}

CW_COLD int cw_asgi_init(PyObject *module) {
  return cw_state_init() < 0 || cw_call_init(module) < 0 ||
                 cw_waiter_init(module) < 0 || cw_loop_init(module) < 0
             ? -1
             : 0;
}

/* An attribute of a module that is loaded already. */
static CW_NEW PyObject *from(const char *module_name, const char *name) {
  PyObject *module = PyImport_ImportModule(module_name);
  PyObject *value = module ? PyObject_GetAttrString(module, name) : NULL;
  Py_XDECREF(module);
  return value;
}

int cw_asgi_begin(const cw_async_host_t *host, PyObject *loop, PyObject *state,
                  int64_t limit) {
  CW_ASSERT_GIL();
  cw_asgi.host = host;
  cw_asgi.loop = Py_NewRef(loop);
  cw_asgi.state = Py_NewRef(state);
  cw_asgi.limit = limit;
  cw_asgi.n_requests = 0;
  cw_asgi.task_type = from("asyncio", "Task");
  cw_asgi.task_keywords = Py_BuildValue("{sO}", "loop", loop);
  cw_asgi.cancelled = from("asyncio", "CancelledError");
  cw_asgi.helper = PyImport_ImportModule("cwsgi._asgi");
#if PY_VERSION_HEX >= 0x030C0000
  if (cw_asgi.task_keywords &&
      PyDict_SetItemString(cw_asgi.task_keywords, "eager_start", Py_True) < 0)
    return -1;
#endif
  if (!cw_asgi.task_keywords || !cw_asgi.task_type || !cw_asgi.cancelled ||
      !cw_asgi.helper || cw_call_mark() < 0)
    return -1;
  return cw_scope_init();
}

void cw_asgi_clear(void) {
  CW_ASSERT_GIL();
  Py_CLEAR(poll_own);
  Py_CLEAR(ready_queue);
  Py_CLEAR(cw_asgi.cancelled);
  Py_CLEAR(cw_asgi.loop);
  Py_CLEAR(cw_asgi.state);
  Py_CLEAR(cw_asgi.task_type);
  Py_CLEAR(cw_asgi.task_keywords);
  Py_CLEAR(cw_asgi.helper);
  cw_scope_clear();
}
