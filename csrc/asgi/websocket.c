/* SPDX-License-Identifier: MIT */
/* receive() and send() of the WebSocket protocol (ASGI 3.0, "WebSocket"), over
 * http/ws.h. */
#include "asgi/message.h"
#include "asgi/waiter.h"

enum {
  SUBPROTOCOLS = 64,         /* of a client's, that are told */
  FIELDS = 128,              /* of an app's, in its accept */
  COPY_WITH_GIL = 64 * 1024, /* longer messages let other threads run meanwhile */
};

/* ---- scope ------------------------------------------------------------- */

static CW_RAISES CW_STEALS(3) int set(PyObject *scope, const char *key,
                                      PyObject *value) {
  if (!value) return -1;
  int rc = PyDict_SetItemString(scope, key, value);
  Py_DECREF(value);
  return rc;
}

static CW_NEW PyObject *subprotocols(const cw_req_t *req) {
  cw_span_t offered[SUBPROTOCOLS];
  unsigned n = cw_ws_subprotocols(req, offered, SUBPROTOCOLS);
  PyObject *list = PyList_New(0);
  for (unsigned i = 0; list && i < CW_MIN(n, (unsigned)SUBPROTOCOLS); i++) {
    PyObject *one =
        PyUnicode_DecodeLatin1(offered[i].p, (Py_ssize_t)offered[i].len, NULL);
    if (!one || PyList_Append(list, one) < 0) Py_CLEAR(list);
    Py_XDECREF(one);
  }
  return list;
}

int cw_websocket_scope(PyObject *scope, const cw_req_t *req) {
  const char *scheme = cw_req_head(req)->scheme[4] ? "wss" : "ws";
  if (set(scope, "type", PyUnicode_FromString("websocket")) < 0 ||
      set(scope, "scheme", PyUnicode_FromString(scheme)) < 0 ||
      set(scope, "asgi",
          Py_BuildValue("{ssss}", "version", "3.0", "spec_version", "2.5")) < 0 ||
      set(scope, "subprotocols", subprotocols(req)) < 0 ||
      set(scope, "extensions", Py_BuildValue("{s{}}", "websocket.http.response")) < 0)
    return -1;
  return PyDict_DelItemString(scope, "method");
}

/* ---- receive ----------------------------------------------------------- */

static CW_NEW CW_STEALS(3) PyObject *message(PyObject *type, PyObject *key,
                                             PyObject *value) {
  PyObject *dict = key && !value ? NULL : PyDict_New();
  if (dict && (PyDict_SetItem(dict, cw_s_type, type) < 0 ||
               (key && PyDict_SetItem(dict, key, value) < 0)))
    Py_CLEAR(dict);
  Py_XDECREF(value);
  return dict;
}

PyObject *cw_websocket_disconnect(int code, cw_span_t reason) {
  PyObject *m = message(cw_s_websocket_disconnect, cw_s_code, PyLong_FromLong(code));
  PyObject *text =
      m ? PyUnicode_DecodeUTF8(reason.p, (Py_ssize_t)reason.len, "replace") : NULL;
  if (m && (!text || PyDict_SetItem(m, cw_s_reason, text) < 0)) Py_CLEAR(m);
  Py_XDECREF(text);
  return m;
}

/* A message of the client's, which is freed. */
static CW_NEW PyObject *received(cw_ws_message_t *m) {
  Py_ssize_t n = (Py_ssize_t)m->data.len;
  PyObject *result;
  if (m->kind == CW_WS_CLOSED)
    result = cw_websocket_disconnect(m->code, m->data);
  else if (m->kind == CW_WS_TEXT)
    result = message(cw_s_websocket_receive, cw_s_text,
                     PyUnicode_DecodeUTF8(m->data.p, n, NULL));
  else
    result = message(cw_s_websocket_receive, cw_s_bytes,
                     PyBytes_FromStringAndSize(m->data.p, n));
  cw_ws_message_free(m);
  return result;
}

int cw_websocket_receive(cw_call_t *call, cw_waiter_t *w, PyObject **result) {
  const cw_span_t none = {"", 0};
  cw_ws_message_t m;
  int rc = 1;
  if (!call->connected) {
    call->connected = true;
    *result = message(cw_s_websocket_connect, NULL, NULL);
  } else if (!call->req) {
    *result = cw_websocket_disconnect(CW_WS_LOST, none);
  } else if (!cw_ws_is_accepted(call->req)) {
    rc = cw_call_has_left(call);
    if (rc > 0) *result = cw_websocket_disconnect(CW_WS_LOST, none);
  } else {
    rc = cw_ws_receive(call->req, &m);
    if (rc == CW_WAIT) return 0;
    *result = received(&m);
    rc = 1;
  }
  return rc > 0 && !*result ? -1 : rc;
}

/* ---- send -------------------------------------------------------------- */

static CW_NEW PyObject *raise_lost(cw_call_t *call) {
  call->lost = true;
  cw_send_raise(CW_LOST);
  return NULL;
}

/* What was agreed on, or refused, is not to be asked again. */
static CW_RAISES int check_connecting(const cw_call_t *call) {
  if (!call->started && !cw_ws_is_accepted(call->req)) return 0;
  PyErr_SetString(PyExc_RuntimeError,
                  "the WebSocket was accepted or refused before this message");
  return -1;
}

typedef struct fields {
  cw_field_t items[FIELDS];
  unsigned n;
} fields_t;

static CW_RAISES int keep_field(void *data, PyObject *pair, const cw_field_t *f) {
  fields_t *fields = data;
  if (fields->n == FIELDS) {
    PyErr_Format(PyExc_ValueError, "more than %d headers", FIELDS);
    return -1;
  }
  fields->items[fields->n++] = *f;
  return 0;
}

/* The UTF-8 of a message's str; "" where it has none. */
static CW_RAISES int text_of(PyObject *m, PyObject *key, cw_span_t *out) {
  PyObject *value = cw_message_get(m, key); /* borrowed */
  Py_ssize_t n = 0;
  *out = (cw_span_t){"", 0};
  if (!value || value == Py_None) return PyErr_Occurred() ? -1 : 0;
  if (!PyUnicode_Check(value)) {
    PyErr_Format(PyExc_TypeError, "%U must be str, not %.100s", key,
                 Py_TYPE(value)->tp_name);
    return -1;
  }
  const char *p = PyUnicode_AsUTF8AndSize(value, &n);
  if (!p) return -1;
  *out = (cw_span_t){p, (size_t)n};
  return 0;
}

static CW_NEW PyObject *accept_socket(cw_call_t *call, PyObject *m) {
  fields_t fields = {.n = 0};
  cw_span_t protocol;
  if (check_connecting(call) < 0 || text_of(m, cw_s_subprotocol, &protocol) < 0)
    return NULL;
  PyObject *headers = cw_message_get(m, cw_s_headers), *list = NULL; /* borrowed */
  if (PyErr_Occurred()) return NULL;
  if (headers && headers != Py_None) {
    /* Held: the fields point into its pairs. */
    list = PySequence_List(headers);
    if (!list || cw_message_fields(list, keep_field, &fields) < 0) {
      Py_XDECREF(list);
      return NULL;
    }
  }
  int rc = cw_ws_accept(call->req, protocol, fields.items, fields.n);
  Py_XDECREF(list);
  if (rc == CW_LOST) return raise_lost(call);
  if (rc == CW_NOMEM) return PyErr_NoMemory();
  if (rc != CW_OK)
    return PyErr_Format(PyExc_ValueError,
                        "websocket.accept with a subprotocol that the client did not "
                        "offer, or with an invalid header");
  /* Who has begun to receive before waits for messages from here on. */
  if (!cw_list_empty(&call->waiters)) cw_waiters_wake(call);
  return cw_ready_none();
}

static int send_whole(cw_req_t *req, bool text, const char *p, size_t n) {
  int rc;
  if (n < COPY_WITH_GIL) return cw_ws_send(req, text, p, n);
  Py_BEGIN_ALLOW_THREADS
  rc = cw_ws_send(req, text, p, n);
  Py_END_ALLOW_THREADS
  return rc;
}

/* Sends `data`, str or bytes. Returns 1: it is on its way, 0: not now, or -1. */
static int push(cw_call_t *call, PyObject *data) {
  Py_ssize_t n = 0;
  bool text = PyUnicode_Check(data);
  const char *p = text ? PyUnicode_AsUTF8AndSize(data, &n) : PyBytes_AS_STRING(data);
  if (!p) return -1;
  if (!text) n = PyBytes_GET_SIZE(data);
  int rc = call->req ? send_whole(call->req, text, p, (size_t)n) : CW_LOST;
  if (rc == CW_WAIT) return 0;
  if (rc == CW_LOST) (void)raise_lost(call);
  if (rc == CW_NOMEM) PyErr_NoMemory();
  return rc == CW_OK ? 1 : -1;
}

static int push_later(cw_call_t *call, cw_waiter_t *w, PyObject **result) {
  if (cw_waiter_has_to_queue(call, w)) return 0;
  int rc = push(call, w->data);
  if (rc > 0) *result = Py_NewRef(Py_None);
  return rc;
}

/* The one of a message's two that is there. */
static CW_NEW PyObject *payload(PyObject *m) {
  PyObject *text = cw_message_get(m, cw_s_text), /* borrowed */
      *bytes = PyErr_Occurred() ? NULL : cw_message_get(m, cw_s_bytes);
  if (PyErr_Occurred()) return NULL;
  if (text == Py_None) text = NULL;
  if (bytes == Py_None) bytes = NULL;
  if (text && PyUnicode_Check(text)) return Py_NewRef(text);
  if (bytes && !text && PyBytes_CheckExact(bytes)) return Py_NewRef(bytes);
  if (bytes && !text && !PyUnicode_Check(bytes) && PyObject_CheckBuffer(bytes))
    return PyBytes_FromObject(bytes);
  return PyErr_Format(PyExc_TypeError,
                      "websocket.send needs a text that is str, or bytes");
}

static CW_NEW PyObject *send_message(cw_call_t *call, PyObject *m) {
  if (!cw_ws_is_accepted(call->req))
    return PyErr_Format(PyExc_RuntimeError,
                        "websocket.send came before websocket.accept");
  PyObject *data = payload(m), *result = NULL;
  if (!data) return NULL;
  int rc = cw_list_empty(&call->waiters) || !cw_waiter_has_to_queue(call, NULL)
               ? push(call, data)
               : 0;
  if (rc > 0) result = cw_ready_none();
  if (rc == 0) result = cw_waiter_new(call, push_later, data, 0, false);
  Py_DECREF(data);
  return result;
}

static CW_NEW PyObject *close_socket(cw_call_t *call, PyObject *m) {
  PyObject *number = cw_message_get(m, cw_s_code); /* borrowed */
  cw_span_t reason;
  if (PyErr_Occurred() || text_of(m, cw_s_reason, &reason) < 0) return NULL;
  if (!cw_ws_is_accepted(call->req)) {
    /* Before it was accepted: 403, as the specification has it. */
    if (check_connecting(call) < 0) return NULL;
    cw_resp_error(call->req, 403);
    call->started = true;
    cw_call_finish(call, true);
    return cw_ready_none();
  }
  long code = number && number != Py_None ? PyLong_AsLong(number) : 1000;
  if (code == -1 && PyErr_Occurred()) return NULL;
  int rc = cw_ws_close(call->req, (int)code, reason.p, reason.len);
  if (rc == CW_BAD)
    return PyErr_Format(PyExc_ValueError,
                        "invalid close: code %ld, a reason of %zu bytes", code,
                        reason.len);
  return rc == CW_LOST ? raise_lost(call) : cw_ready_none();
}

/* ---- denial responses --------------------------------------------------- */

static CW_NEW PyObject *deny(cw_call_t *call, PyObject *m) {
  return check_connecting(call) < 0 ? NULL : cw_http_start(call, m);
}

/* The usual ones first. */
static cw_message_kind_t kinds[] = {
    {"websocket.send", send_message, NULL},
    {"websocket.accept", accept_socket, NULL},
    {"websocket.close", close_socket, NULL},
    {"websocket.http.response.start", deny, NULL},
    {"websocket.http.response.body", cw_http_body, NULL},
};

PyObject *cw_websocket_send(cw_call_t *call, PyObject *m) {
  return cw_message_handle(kinds, CW_ARRAY_LEN(kinds), call, m);
}
