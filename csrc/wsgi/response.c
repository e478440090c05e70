/* SPDX-License-Identifier: MIT */
/* Running one request: call the app, send what it returns, close what it returned. */
#include "wsgi/wsgi.h"

#include "base/forked.h"
#include "base/log.h"
#include "wsgi/wsgi_internal.h"

static PyObject *hooks; /* borrowed of package.c, which takes it back at the end */
static bool use_sendfile = true;

/* The only item of a list or tuple, or NULL (no error): its length is the body's. */
static CW_BORROWED PyObject *single_item(PyObject *result) {
  if (PyList_CheckExact(result) && PyList_GET_SIZE(result) == 1)
    return PyList_GET_ITEM(result, 0);
  if (PyTuple_CheckExact(result) && PyTuple_GET_SIZE(result) == 1)
    return PyTuple_GET_ITEM(result, 0);
  return NULL;
}

/* Sends a file_wrapper's file. Returns 1, 0 where it has to be iterated, or -1. */
static int send_file(cw_req_t *req, PyObject *wrapper) {
  int fd, rc;
  int64_t offset, len, taken;
  /* After write() without a Content-Length the body is in chunks: no raw bytes. */
  if (!use_sendfile || (cw_resp_sent(req) && cw_resp_length(req) < 0)) return 0;
  rc = cw_file_wrapper_file(wrapper, &fd, &offset, &len);
  if (rc <= 0) return rc;
  Py_BEGIN_ALLOW_THREADS
  rc = cw_resp_write_file(req, fd, offset, len, &taken);
  Py_END_ALLOW_THREADS
  return rc == CW_OK ? 1 : cw_send_raise(rc);
}

static int send_all(cw_req_t *req, PyObject *result) {
  PyObject *item = single_item(result), *it;
  if (item) {
    /* Held: another thread may empty the list while we wait for the client. */
    Py_INCREF(item);
    int rc = cw_send_item(req, item, true);
    Py_DECREF(item);
    return rc;
  }
  if (Py_IS_TYPE(result, cw_file_wrapper_type)) {
    int rc = send_file(req, result);
    if (rc != 0) return rc < 0 ? -1 : 0;
  }
  it = PyObject_GetIter(result);
  if (!it) return -1;
  int rc = 0;
  while (rc == 0 && (item = PyIter_Next(it)) != NULL) {
    if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
    rc = cw_send_item(req, item, false);
    Py_DECREF(item);
    /* HEAD, 204, 304: the response is complete with its head. */
    if (rc == 0 && cw_resp_sent(req) && !cw_resp_has_body(req)) break;
    /* PEP 3333, "Handling the Content-Length Header": so much and no more. */
    if (rc == 0 && cw_resp_is_whole(req)) break;
  }
  Py_DECREF(it);
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
  if (rc < 0 || PyErr_Occurred()) return -1;
  return cw_send_bytes(req, NULL, 0, true);
}

/* PEP 3333: close() runs whatever happened, and an exception in flight survives it. */
static int close_result(PyObject *result) {
  if (PyList_CheckExact(result) || PyTuple_CheckExact(result)) return 0;
  PyObject *pending = cw_exc_take();
  int rc = cw_close(result);
  if (rc < 0 && pending) cw_report_exception("Error in close() after an error", NULL);
  if (pending) cw_exc_put(pending);
  return rc;
}

/* Says what went wrong, once. A client that left is no error of the app. */
static void report(cw_req_t *req) {
  int status;
  if (PyErr_ExceptionMatches(cw_client_disconnected)) {
    const cw_head_t *h = cw_req_head(req);
    cw_log(CW_LOG_DEBUG, "%s:%s: client left during %.*s %.*s", h->peer_addr,
           h->peer_port, (int)h->method.len, h->method.p,
           (int)cw_log_target(h->target.p, h->target.len), h->target.p);
    PyErr_Clear();
    return;
  }
  if (PyErr_ExceptionMatches(PyExc_OSError) && cw_body_error(req, &status)) {
    /* Logged when it was noticed, and no error of the app either. */
    PyErr_Clear();
    cw_resp_error(req, status);
    return;
  }
  if (PyErr_ExceptionMatches(cw_request_timeout)) {
    /* Its stack was logged when it was raised. */
    PyErr_Clear();
    cw_resp_error(req, 504);
    return;
  }
  cw_report_exception("Error handling request", cw_req_head(req));
}

/* ---- hooks ---------------------------------------------------------------- */

/* What pre_request makes of the environ, for post_request. */
static CW_NEW PyObject *call_pre_request(PyObject *env) {
  PyObject *r = PyObject_CallMethod(hooks, "pre_request", "O", env);
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
  if (!r) cw_report_exception("Exception in the pre_request hook", NULL);
  return r;
}

static void call_post_request(PyObject *request, PyObject *env,
                              PyObject *start_response) {
  PyObject *pending = cw_exc_take();
  PyObject *r = PyObject_CallMethod(hooks, "post_request", "OOOO", request, env,
                                    cw_start_response_status(start_response),
                                    cw_start_response_headers(start_response));
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
  if (!r) cw_report_exception("Exception in the post_request hook", NULL);
  Py_XDECREF(r);
  if (pending) cw_exc_put(pending);
}

/* ---- a request ------------------------------------------------------------ */

/* Calls the app and sends what it returns, which goes to *result. Returns whether the
 * response is complete; an exception may be set either way. */
static bool call_app(cw_runner_t *runner, PyObject *app, PyObject *env,
                     PyObject *start_response, PyObject **result) {
  PyObject *args[3] = {NULL, env, start_response};
  cw_req_t *req = runner->req;
  *result =
      PyObject_Vectorcall(app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
  if (!*result) return false;
  bool complete = send_all(req, *result) == 0;
  /* RequestTimeout comes too late, and would keep close() from its very first line. */
  if (CW_UNLIKELY(runner->hit)) cw_deadline_clear(runner);
  bool closed = close_result(*result) == 0;
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
  return (closed || cw_resp_sent(req)) && complete;
}

/* Hands the environ variables on that the access log wants. */
static void note_environ(cw_req_t *req, PyObject *env) {
  const char *name;
  for (unsigned i = 0; env && (name = cw_req_log_environ(req, i)) != NULL; i++) {
    PyObject *value = PyDict_GetItemString(env, name), /* borrowed */
        *text = value ? PyObject_Str(value) : NULL;
    Py_ssize_t n;
    const char *p = text ? PyUnicode_AsUTF8AndSize(text, &n) : NULL;
    if (p) cw_req_set_log_environ(req, i, p, (size_t)n);
    PyErr_Clear();
    Py_XDECREF(text);
  }
}

/* Puts gunicorn.socket into the environ. Where that fails the app goes without. */
static CW_NEW PyObject *add_upgrade(cw_req_t *req, PyObject *env) {
  PyObject *upgrade = cw_upgrade_new(req);
  if (upgrade && PyDict_SetItemString(env, "gunicorn.socket", upgrade) < 0) {
    cw_upgrade_detach(upgrade);
    Py_CLEAR(upgrade);
  }
  if (!upgrade) cw_report_exception("Cannot offer gunicorn.socket", cw_req_head(req));
  return upgrade;
}

/* An app that looks for CONTENT_LENGTH takes such a body for none: data would seem
 * lost. Said once. */
static void warn_untouched(const cw_head_t *h) {
  static bool said; /* guarded by the GIL, for the process's life */
  if (said) return;
  said = true;
  cw_log(
      CW_LOG_WARNING,
      "%.*s %.*s came with a chunked body that the app did not read; frameworks that "
      "look for CONTENT_LENGTH see none where a body is longer than --buffer-body or "
      "takes its time",
      (int)h->method.len, h->method.p, (int)CW_MIN(h->path.len, (size_t)1000),
      h->path.p);
}

static void run(void *data, cw_req_t *req) {
  CW_ASSERT_GIL();
  /* Its deadline passed while it waited for a thread: the client has its answer. */
  if (cw_req_expired(req)) {
    cw_req_finish(req, false);
    return;
  }
  const cw_mount_t *mount = cw_mount_find(cw_req_head(req)->path);
  if (!mount) {
    cw_resp_error(req, 404);
    cw_req_finish(req, true);
    return;
  }
  cw_runner_t *runner = cw_runner_make();
  if (CW_UNLIKELY(!runner)) {
    cw_req_finish(req, false);
    return;
  }
  PyObject *env = NULL, *result = NULL, *request = NULL, *upgrade = NULL;
  PyObject *input = cw_input_new(req), *start_response = cw_start_response_new(req);
  bool complete = false;
  if (input && start_response) env = cw_environ_new(cw_req_head(req), input, mount);
  if (CW_UNLIKELY(cw_req_head(req)->upgrade) && env) upgrade = add_upgrade(req, env);
  if (hooks && env) {
    cw_start_response_keep(start_response);
    request = call_pre_request(env);
  }
  runner->req = req;
  runner->calls++;
  runner->open = true;
  if (env) complete = call_app(runner, mount->app, env, start_response, &result);
  runner->open = false;
  if (CW_UNLIKELY(runner->hit)) cw_deadline_clear(runner);
  if (CW_UNLIKELY(cw_req_taken_over(req))) {
    /* Libraries end such a request by StopIteration, as gunicorn wants it. */
    complete = true;
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_StopIteration)) PyErr_Clear();
  }
  if (PyErr_Occurred()) report(req);
  if (request) call_post_request(request, env, start_response);
  /* A file may well be longer than the part that was asked for. */
  if (complete && cw_resp_overrun(req) && !Py_IS_TYPE(result, cw_file_wrapper_type)) {
    const cw_span_t target = cw_req_head(req)->target;
    cw_log(CW_LOG_WARNING, "%.*s: the body is longer than its Content-Length; cut off",
           (int)cw_log_target(target.p, target.len), target.p);
  }
  if (CW_UNLIKELY(cw_body_untouched(req))) warn_untouched(cw_req_head(req));
  runner->req = NULL;
  if (start_response) cw_start_response_detach(start_response);
  if (input) cw_input_detach(input);
  if (CW_UNLIKELY(upgrade != NULL)) cw_upgrade_detach(upgrade);
  cw_errors_flush();
  note_environ(req, env);
  cw_req_finish(req, complete);
  Py_XDECREF(upgrade);
  Py_XDECREF(request);
  Py_XDECREF(result);
  Py_XDECREF(env);
  Py_XDECREF(start_response);
  Py_XDECREF(input);
  if (CW_UNLIKELY(runner->after != NULL)) cw_after_run(runner);
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
}

void cw_wsgi_set_hooks(PyObject *object) {
  hooks = object;
}

PyObject *cw_wsgi_hooks(void) {
  return hooks ? hooks : Py_None;
}

void cw_wsgi_set_sendfile(bool on) {
  use_sendfile = on;
}

void cw_wsgi_report(const char *what) {
  cw_report_exception(what, NULL);
}

CW_COLD int cw_wsgi_init(PyObject *module) {
  if (cw_send_init(module) < 0 || cw_close_init() < 0 ||
      cw_input_type_init(module) < 0 || cw_file_wrapper_init(module) < 0 ||
      cw_upgrade_init(module) < 0 || cw_start_response_init(module) < 0 ||
      cw_after_init(module) < 0 || cw_deadline_init(module) < 0)
    return -1;
  return 0;
}

int cw_wsgi_begin(cw_app_t *app, bool multithread, bool multiprocess) {
  if (cw_errors_init() < 0 || cw_environ_init(multithread, multiprocess) < 0) return -1;
  *app = (cw_app_t){.data = NULL, .run = run};
  return 0;
}

void cw_wsgi_clear(void) {
  cw_errors_flush();
  cw_mount_clear();
  cw_environ_clear();
}
