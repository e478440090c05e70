/* SPDX-License-Identifier: MIT */
/* cwsgi._asgi.Runner, and what it is told. */
#include "worker/coroutines.h"

#include <string.h>

#include "asgi/asgi.h"
#include "base/log.h"
#include "worker/signals.h"
#include "wsgi/shared.h"
#include "wsgi/wsgi.h"

/* The process's; `runner` is owned from begin to end. */
static PyObject *runner;
static cw_async_host_t host;

bool cw_coroutines_wanted(void) {
  const cw_mount_t *mount;
  for (unsigned i = 0; (mount = cw_mount_at(i)) != NULL; i++)
    if (mount->async) return true;
  return false;
}

static CW_NEW PyObject *apps(void) {
  const cw_mount_t *mount;
  PyObject *list = PyList_New(0);
  for (unsigned i = 0; list && (mount = cw_mount_at(i)) != NULL; i++)
    if (mount->async && PyList_Append(list, mount->app) < 0) Py_CLEAR(list);
  return list;
}

static CW_RAISES int begin(const cw_settings_t *s, cw_sched_t *sched) {
  PyObject *module = PyImport_ImportModule("cwsgi._asgi"), *list = apps();
  const char *kind = cw_opt_str(s, CW_OPT_LOOP);
  bool remote = strcmp(kind, "uvloop") == 0;
  if (module && list)
    runner = PyObject_CallMethod(module, "Runner", "OssO", list, kind,
                                 cw_opt_str(s, CW_OPT_LIFESPAN), cw_wsgi_hooks());
  Py_XDECREF(list);
  Py_XDECREF(module);
  if (!runner) return -1;
  int rc = cw_sched_set_async(sched, cw_asgi_is_for, remote);
  if (rc != 0) {
    PyErr_Format(PyExc_OSError, "%s", strerror(-rc));
    return -1;
  }
  cw_sched_async_host(sched, &host);
  PyObject *loop = PyObject_GetAttrString(runner, "loop");
  PyObject *state = loop ? PyObject_GetAttrString(runner, "state") : NULL;
  rc = state
           ? cw_asgi_begin(&host, loop, state, cw_opt_num(s, CW_OPT_LIMIT_CONCURRENCY))
           : -1;
  Py_XDECREF(state);
  Py_XDECREF(loop);
  if (rc < 0) return -1;
  PyObject *r = PyObject_CallMethod(runner, "startup", NULL);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

/* What an app says is all that there is to say of it. */
static bool is_startup_failed(PyObject *exc) {
  return strcmp(Py_TYPE(exc)->tp_name, "StartupFailed") == 0;
}

CW_COLD int cw_coroutines_begin(const cw_settings_t *s, cw_sched_t *sched) {
  CW_ASSERT_GIL();
  if (begin(s, sched) == 0) return 0;
  PyObject *exc = cw_exc_take();
  PyObject *text = is_startup_failed(exc) ? PyObject_Str(exc) : NULL;
  Py_ssize_t n = 0;
  const char *p = text ? PyUnicode_AsUTF8AndSize(text, &n) : NULL;
  const char *lf = p ? strchr(p, '\n') : NULL;
  if (p && lf) {
    /* Frameworks send the traceback. */
    cw_log_text(CW_LOG_ERROR, p, (size_t)n, "The start-up of the app failed");
  } else if (p) {
    cw_log(CW_LOG_ERROR, "The start-up of the app failed: %s", p);
  } else {
    cw_exc_put(Py_NewRef(exc));
    cw_wsgi_report("The start-up of the app failed");
  }
  Py_XDECREF(text);
  Py_DECREF(exc);
  return -1;
}

static void run_either(void *data, cw_req_t *req) {
  const cw_app_t *app = data;
  if (cw_asgi_is_for(NULL, req))
    cw_asgi_run(NULL, req);
  else
    app->run(app->data, req);
}

cw_app_t cw_coroutines_app(const cw_app_t *app) {
  return (cw_app_t){.data = (void *)(uintptr_t)app, .run = run_either};
}

int cw_coroutines_serve(cw_sched_t *sched) {
  CW_ASSERT_GIL();
  PyObject *r = PyObject_CallMethod(runner, "descriptor", NULL);
  long fd = r ? PyLong_AsLong(r) : -1;
  Py_XDECREF(r);
  int rc = cw_sched_async_begin(sched, (int)fd);
  if (rc != 0) return rc;
  r = PyObject_CallMethod(runner, "serve", "i", cw_sched_async_fd(sched));
  if (!r) {
    cw_wsgi_report("Exception in the event loop, which ends this worker");
    /* Nobody runs requests any more. */
    cw_sched_stop(sched, 0);
  }
  Py_XDECREF(r);
  Py_BEGIN_ALLOW_THREADS
  cw_sched_async_end(sched);
  Py_END_ALLOW_THREADS
  return r ? 0 : -ECANCELED;
}

void cw_coroutines_end(int64_t grace_ms) {
  CW_ASSERT_GIL();
  if (!runner) return;
  PyObject *r = PyObject_CallMethod(runner, "shutdown", "d", (double)grace_ms / 1000.0);
  if (!r) cw_wsgi_report("Exception at the end of the event loop");
  Py_XDECREF(r);
  Py_CLEAR(runner);
  cw_asgi_clear();
}

PyObject *cw_coroutines_stop(PyObject *module, PyObject *quick) {
  cw_signals_ask_stop(PyObject_IsTrue(quick) == 1);
  Py_RETURN_NONE;
}

PyObject *cw_coroutines_keep_wakeup(PyObject *module, PyObject *unused) {
  (void)cw_signals_keep_wakeup();
  Py_RETURN_NONE;
}
