/* SPDX-License-Identifier: MIT */
/* Messages that an app sends: which one it is, and what is in it. */
#include "asgi/message.h"

PyObject *cw_message_get(PyObject *message, PyObject *key) {
  if (CW_LIKELY(PyDict_Check(message))) return PyDict_GetItemWithError(message, key);
  PyErr_Format(PyExc_TypeError, "an ASGI message is a dict, not %.100s",
               Py_TYPE(message)->tp_name);
  return NULL;
}

static CW_RAISES int field(PyObject *pair, cw_field_fn_t fn, void *data) {
  PyObject *items = PySequence_Fast(pair, "a header is a pair of byte strings");
  if (!items) return -1;
  PyObject **item = PySequence_Fast_ITEMS(items);
  int rc = -1;
  if (PySequence_Fast_GET_SIZE(items) != 2 || !PyBytes_Check(item[0]) ||
      !PyBytes_Check(item[1])) {
    PyErr_Format(PyExc_TypeError, "a header is a pair of byte strings, not %.200R",
                 pair);
  } else {
    const cw_field_t f = {
        {PyBytes_AS_STRING(item[0]), (size_t)PyBytes_GET_SIZE(item[0])},
        {PyBytes_AS_STRING(item[1]), (size_t)PyBytes_GET_SIZE(item[1])}};
    rc = fn(data, pair, &f);
  }
  Py_DECREF(items);
  return rc;
}

int cw_message_fields(PyObject *headers, cw_field_fn_t fn, void *data) {
  PyObject *list = PySequence_Fast(headers, "headers are an iterable of pairs");
  int rc = list ? 0 : -1;
  for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(list); i++)
    rc = field(PySequence_Fast_GET_ITEM(list, i), fn, data);
  Py_XDECREF(list);
  return rc;
}

static PyObject *unexpected(cw_call_t *call, PyObject *type) {
  if (call->lost || call->broken) {
    cw_send_raise(CW_LOST);
    return NULL;
  }
  return PyErr_Format(PyExc_RuntimeError,
                      "ASGI message %R was sent after the response was complete", type);
}

PyObject *cw_message_handle(cw_message_kind_t *kinds, size_t n, cw_call_t *call,
                            PyObject *message) {
  PyObject *type = cw_message_get(message, cw_s_type);
  if (!type)
    return PyErr_Occurred()
               ? NULL
               : PyErr_Format(PyExc_KeyError, "an ASGI message has a type");
  if (CW_UNLIKELY(!call->req || call->broken)) return unexpected(call, type);
  for (size_t i = 0; i < n; i++)
    if (kinds[i].seen == type) return kinds[i].handle(call, message);
  for (size_t i = 0; i < n; i++) {
    if (!PyUnicode_Check(type) ||
        PyUnicode_CompareWithASCIIString(type, kinds[i].name) != 0)
      continue;
    Py_XSETREF(kinds[i].seen, Py_NewRef(type));
    return kinds[i].handle(call, message);
  }
  return PyErr_Format(PyExc_RuntimeError, "unexpected ASGI message %R", type);
}
