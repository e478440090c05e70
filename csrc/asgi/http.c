/* SPDX-License-Identifier: MIT */
/* receive() and send() of the HTTP protocol (ASGI 3.0, "HTTP Connection"). Both do at
 * once what can be done, and return an awaitable that is ready or waits for the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asgi/message.h"
#include "asgi/waiter.h"
#include "base/log.h"

enum { PIECE = 256 * 1024 }; /* bytes of a body in one message */

/* ---- the end of a response --------------------------------------------- */

void cw_call_finish(cw_call_t *call, bool complete) {
  cw_req_t *req = call->req;
  const cw_async_host_t *host = cw_asgi.host;
  if (!req) return;
  call->req = NULL;
  if (complete && cw_resp_overrun(req)) {
    const cw_span_t target = cw_req_head(req)->target;
    cw_log(CW_LOG_WARNING, "%.*s: the body is longer than its Content-Length; cut off",
           (int)cw_log_target(target.p, target.len), target.p);
  }
  host->note(host->data, NULL);
  cw_req_set_owner(req, NULL);
  cw_req_end_async(req, host->unlist, host->data);
  cw_req_finish(req, complete);
  cw_asgi.n_requests--;
  host->served(host->data);
  if (CW_UNLIKELY(cw_asgi.settled != NULL)) {
    PyObject *r = PyObject_CallMethodOneArg(cw_asgi.settled, cw_s_set_result, Py_None);
    if (!r) cw_report_exception("Error in a warm-up", NULL);
    Py_XDECREF(r);
  }
  /* Whoever waits for the client to leave waits no longer. */
  if (!cw_list_empty(&call->waiters)) cw_waiters_wake(call);
}

static int raise_lost(cw_call_t *call) {
  call->lost = true;
  return cw_send_raise(CW_LOST);
}

/* ---- receive ----------------------------------------------------------- */

PyObject *cw_http_disconnect(void) {
  PyObject *message = PyDict_New();
  if (message && PyDict_SetItem(message, cw_s_type, cw_s_http_disconnect) < 0)
    Py_CLEAR(message);
  return message;
}

static CW_NEW CW_STEALS(1) PyObject *body_message(PyObject *body, bool more) {
  PyObject *message = body ? PyDict_New() : NULL;
  if (message &&
      (PyDict_SetItem(message, cw_s_type, cw_s_http_request) < 0 ||
       PyDict_SetItem(message, cw_s_body, body) < 0 ||
       PyDict_SetItem(message, cw_s_more_body, more ? Py_True : Py_False) < 0))
    Py_CLEAR(message);
  Py_XDECREF(body);
  return message;
}

/* The body's next piece. Returns 1 with *message, 0 where it has to come, or -1. */
static int take_body(cw_call_t *call, PyObject **message) {
  bool ended;
  size_t n = cw_body_available(call->req, &ended);
  /* At least a byte is asked for: that tells whether more will come. */
  PyObject *body = PyBytes_FromStringAndSize(
      NULL, (Py_ssize_t)CW_MIN(CW_MAX(n, (size_t)1), (size_t)PIECE));
  if (!body) return -1;
  ssize_t got = cw_body_take(call->req, PyBytes_AS_STRING(body),
                             (size_t)PyBytes_GET_SIZE(body), false);
  if (got == 0 && _PyBytes_Resize(&body, 0) < 0) return -1;
  if (got < 0) Py_DECREF(body);
  if (got == CW_WAIT) return 0;
  /* Nobody else takes any of it: what was there is what was got. */
  call->body_over = got <= 0 || (ended && (size_t)got == n);
  call->left = got < 0;
  *message = got < 0 ? cw_http_disconnect() : body_message(body, !call->body_over);
  return *message ? 1 : -1;
}

/* Asks again when who has half-closed its side may be taken for gone. */
static CW_RAISES int wait_with_patience(cw_call_t *call) {
  if (call->patience) return 0;
  PyObject *wake = PyObject_GetAttrString((PyObject *)call, "_wake");
  if (wake)
    call->patience = PyObject_CallMethod(cw_asgi.loop, "call_later", "dO", 1.05, wake);
  Py_XDECREF(wake);
  return call->patience ? 0 : -1;
}

int cw_call_has_left(cw_call_t *call) {
  /* First to be told, then to look: nothing is missed in between. */
  cw_req_watch_client(call->req);
  if (cw_req_abandoned(call->req)) {
    call->left = true;
    return 1;
  }
  return cw_req_half_closed(call->req) ? wait_with_patience(call) : 0;
}

int cw_http_receive(cw_call_t *call, cw_waiter_t *w, PyObject **message) {
  int rc = 1;
  if (call->req && !call->body_over) return take_body(call, message);
  if (call->req) rc = cw_call_has_left(call);
  if (rc > 0) *message = cw_http_disconnect();
  return rc > 0 && !*message ? -1 : rc;
}

/* ---- send -------------------------------------------------------------- */

/* Sends what is left of `data`. Returns 1: all is on its way, 0: not now, or -1. */
static int push(cw_call_t *call, PyObject *data, Py_ssize_t *off, bool last) {
  cw_req_t *req = call->req;
  size_t taken;
  if (!req) return raise_lost(call);
  int rc = cw_resp_write(req, PyBytes_AS_STRING(data) + *off,
                         (size_t)(PyBytes_GET_SIZE(data) - *off), last, &taken);
  *off += (Py_ssize_t)taken;
  if (rc == CW_WAIT) return 0;
  if (rc == CW_LOST) return raise_lost(call);
  if (rc == CW_NOMEM) call->broken = true;
  if (rc != CW_OK) return cw_send_raise(rc);
  if (!last) return 1;
  int64_t length = cw_resp_length(req);
  bool shorter = length >= 0 && cw_resp_has_body(req) && !cw_resp_is_whole(req);
  cw_call_finish(call, true);
  if (!shorter) return 1;
  PyErr_SetString(PyExc_RuntimeError, "the body is shorter than its Content-Length");
  return -1;
}

static int push_rest(cw_call_t *call, cw_waiter_t *w, PyObject **result) {
  if (cw_waiter_has_to_queue(call, w)) return 0;
  /* The one before it was given up. */
  if (call->broken) return cw_send_raise(CW_LOST);
  int rc = push(call, w->data, &w->off, w->last);
  if (rc > 0) *result = Py_NewRef(Py_None);
  return rc;
}

/* Sends bytes of the body, which is taken. */
static CW_NEW CW_STEALS(2) PyObject *send_bytes(cw_call_t *call, PyObject *data,
                                                bool last) {
  Py_ssize_t off = 0;
  PyObject *result;
  int rc = cw_list_empty(&call->waiters) || !cw_waiter_has_to_queue(call, NULL)
               ? push(call, data, &off, last)
               : 0;
  if (rc < 0)
    result = NULL;
  else if (rc > 0)
    result = cw_ready_none();
  else
    result = cw_waiter_new(call, push_rest, data, off, last);
  if (!result && off > 0) call->broken = true;
  Py_DECREF(data);
  return result;
}

/* Whether a message has a true value there. */
static CW_RAISES int is_set(PyObject *message, PyObject *key) {
  PyObject *value = cw_message_get(message, key);
  return value ? PyObject_IsTrue(value) : PyErr_Occurred() ? -1 : 0;
}

static CW_RAISES int add_field(void *data, PyObject *pair, const cw_field_t *f) {
  int rc = cw_resp_field(data, f->name.p, f->name.len, f->value.p, f->value.len);
  if (rc == CW_BAD) PyErr_Format(PyExc_ValueError, "invalid header %.200R", pair);
  if (rc == CW_NOMEM) PyErr_NoMemory();
  return rc < 0 ? -1 : 0;
}

PyObject *cw_http_start(cw_call_t *call, PyObject *message) {
  if (call->started)
    return PyErr_Format(PyExc_RuntimeError, "http.response.start was sent before");
  PyObject *status = cw_message_get(message, cw_s_status);
  if (!status)
    return PyErr_Occurred()
               ? NULL
               : PyErr_Format(PyExc_KeyError, "http.response.start needs a status");
  long code = PyLong_AsLong(status);
  if (code == -1 && PyErr_Occurred()) return NULL;
  int rc = code < 200 || code > 999 ? CW_BAD : cw_resp_start_code(call->req, (int)code);
  if (rc == CW_NOMEM) return PyErr_NoMemory();
  if (rc != CW_OK) return PyErr_Format(PyExc_ValueError, "invalid status %R", status);
  PyObject *headers = cw_message_get(message, cw_s_headers);
  if ((!headers && PyErr_Occurred()) ||
      (headers && headers != Py_None &&
       cw_message_fields(headers, add_field, call->req) < 0)) {
    cw_resp_cancel(call->req);
    return NULL;
  }
  int trailers = is_set(message, cw_s_trailers);
  if (trailers < 0) {
    cw_resp_cancel(call->req);
    return NULL;
  }
  call->trailers = trailers;
  call->started = true;
  return cw_ready_none();
}

/* A message's body as bytes. */
static CW_NEW PyObject *body_of(PyObject *message) {
  PyObject *body = cw_message_get(message, cw_s_body);
  if (body && CW_LIKELY(PyBytes_CheckExact(body))) return Py_NewRef(body);
  if (!body) return PyErr_Occurred() ? NULL : PyBytes_FromStringAndSize(NULL, 0);
  if (PyUnicode_Check(body) || !PyObject_CheckBuffer(body))
    return PyErr_Format(PyExc_TypeError, "a response body must be bytes, not %.100s",
                        Py_TYPE(body)->tp_name);
  return PyBytes_FromObject(body);
}

PyObject *cw_http_body(cw_call_t *call, PyObject *message) {
  if (!call->started)
    return PyErr_Format(PyExc_RuntimeError,
                        "http.response.body came before http.response.start");
  if (call->trailing)
    return PyErr_Format(PyExc_RuntimeError, "the response's body has ended");
  int is_more = is_set(message, cw_s_more_body);
  PyObject *data = is_more < 0 ? NULL : body_of(message);
  if (!data) return NULL;
  /* The head waits for the first byte of body, or for the end; but who streams from
   * elsewhere hears of a client that left. */
  if (is_more && PyBytes_GET_SIZE(data) == 0 && cw_req_abandoned(call->req)) {
    Py_DECREF(data);
    raise_lost(call);
    return NULL;
  }
  call->trailing = !is_more && call->trailers;
  return send_bytes(call, data, !is_more && !call->trailers);
}

static CW_RAISES int add_trailer(void *data, PyObject *pair, const cw_field_t *f) {
  int rc = cw_resp_trailer(data, f);
  if (rc == CW_BAD) PyErr_Format(PyExc_ValueError, "invalid trailer %.200R", pair);
  if (rc == CW_NOMEM) PyErr_NoMemory();
  return rc < 0 ? -1 : 0;
}

/* http.response.trailers: they end the response. */
static CW_NEW PyObject *trailers(cw_call_t *call, PyObject *message) {
  if (!call->trailing)
    return PyErr_Format(PyExc_RuntimeError,
                        "http.response.trailers came before the body's end, or was not "
                        "announced by http.response.start");
  /* What is put down here would go out with the next piece. */
  if (cw_waiter_has_to_queue(call, NULL))
    return PyErr_Format(PyExc_RuntimeError,
                        "http.response.trailers came before the body had left");
  int more = is_set(message, cw_s_more_trailers);
  PyObject *headers = more < 0 ? NULL : cw_message_get(message, cw_s_headers);
  if (PyErr_Occurred() || (headers && headers != Py_None &&
                           cw_message_fields(headers, add_trailer, call->req) < 0))
    return NULL;
  if (more) return cw_ready_none();
  return send_bytes(call, PyBytes_FromStringAndSize(NULL, 0), true);
}

/* http.response.pathsend: the file is the whole body. */
static CW_NEW PyObject *path(cw_call_t *call, PyObject *message) {
  struct stat st;
  int64_t taken;
  PyObject *name = cw_message_get(message, cw_s_path), *encoded;
  if (!call->started)
    return PyErr_Format(PyExc_RuntimeError,
                        "http.response.pathsend came before http.response.start");
  if (!name)
    return PyErr_Occurred()
               ? NULL
               : PyErr_Format(PyExc_KeyError, "http.response.pathsend needs a path");
  if (call->trailers)
    return PyErr_Format(PyExc_RuntimeError,
                        "http.response.pathsend and trailers do not go together");
  if (!PyUnicode_FSConverter(name, &encoded)) return NULL;
  int fd = open(PyBytes_AS_STRING(encoded), O_RDONLY | O_CLOEXEC);
  Py_DECREF(encoded);
  if (fd < 0 || fstat(fd, &st) != 0) {
    PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
    if (fd >= 0) close(fd);
    return NULL;
  }
  if (!S_ISREG(st.st_mode)) {
    close(fd);
    return PyErr_Format(PyExc_ValueError, "%R is no regular file", name);
  }
  int rc = st.st_size == 0 ? cw_resp_write(call->req, "", 0, true, &(size_t){0})
                           : cw_resp_write_file(call->req, fd, 0, st.st_size, &taken);
  close(fd);
  if (rc == CW_LOST) {
    raise_lost(call);
    return NULL;
  }
  if (rc != CW_OK) {
    call->broken = true;
    cw_send_raise(rc);
    return NULL;
  }
  cw_call_finish(call, true);
  return cw_ready_none();
}

/* http.response.early_hint: RFC 8297. */
static CW_NEW PyObject *hint(cw_call_t *call, PyObject *message) {
  enum { MOST = 64 };
  cw_field_t fields[MOST];
  unsigned n = 0;
  PyObject *links = cw_message_get(message, cw_s_links);
  if (call->started)
    return PyErr_Format(PyExc_RuntimeError,
                        "http.response.early_hint came after http.response.start");
  if (!links) return PyErr_Occurred() ? NULL : cw_ready_none();
  PyObject *list = PySequence_Fast(links, "links are an iterable of byte strings");
  int rc = list ? CW_OK : -1;
  for (Py_ssize_t i = 0; rc == CW_OK && i < PySequence_Fast_GET_SIZE(list); i++) {
    PyObject *link = PySequence_Fast_GET_ITEM(list, i);
    if (!PyBytes_Check(link) || n == MOST) {
      PyErr_Format(PyExc_TypeError, "links are byte strings, %d at most, not %.200R",
                   MOST, link);
      rc = -1;
    } else {
      fields[n++] = (cw_field_t){
          {"link", 4}, {PyBytes_AS_STRING(link), (size_t)PyBytes_GET_SIZE(link)}};
    }
  }
  if (rc == CW_OK) {
    rc = cw_resp_early_hints(call->req, fields, n);
    if (rc == CW_BAD) PyErr_Format(PyExc_ValueError, "invalid links %.200R", links);
    if (rc == CW_LOST) raise_lost(call);
    if (rc == CW_NOMEM) PyErr_NoMemory();
  }
  Py_XDECREF(list);
  return rc == CW_OK ? cw_ready_none() : NULL;
}

/* The usual ones first. */
static cw_message_kind_t kinds[] = {
    {"http.response.body", cw_http_body, NULL},
    {"http.response.start", cw_http_start, NULL},
    {"http.response.pathsend", path, NULL},
    {"http.response.early_hint", hint, NULL},
    {"http.response.trailers", trailers, NULL},
};

PyObject *cw_http_send(cw_call_t *call, PyObject *message) {
  return cw_message_handle(kinds, CW_ARRAY_LEN(kinds), call, message);
}
