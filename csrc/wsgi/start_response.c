/* SPDX-License-Identifier: MIT */
/* start_response() and the write() it returns (PEP 3333, "The start_response()
 * Callable"). */
#include <stddef.h>

#include "wsgi/wsgi_internal.h"

typedef struct start_response {
  PyObject_HEAD cw_req_t *req; /* NULL once the request is over */
  bool called, warned, keep;
  PyObject *status, *headers; /* as given; owned, only where they are kept */
  vectorcallfunc vectorcall;
} start_response_t;

/* Made once, for the process's life. */
static PyTypeObject *start_response_type;

int cw_native_text(PyObject *s, const char *what, cw_span_t *out) {
  if (!PyUnicode_Check(s)) {
    PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s", what,
                 Py_TYPE(s)->tp_name);
    return -1;
  }
  if (!CW_UNICODE_READY(s)) return -1;
  if (PyUnicode_KIND(s) != PyUnicode_1BYTE_KIND) {
    PyErr_Format(PyExc_ValueError, "%s has characters beyond Latin-1: %.200R", what, s);
    return -1;
  }
  *out = (cw_span_t){(const char *)PyUnicode_1BYTE_DATA(s),
                     (size_t)PyUnicode_GET_LENGTH(s)};
  return 0;
}

static int add_field(start_response_t *self, PyObject *pair) {
  bool tuple = PyTuple_Check(pair);
  if ((!tuple && !PyList_Check(pair)) || PySequence_Fast_GET_SIZE(pair) != 2) {
    PyErr_Format(PyExc_TypeError,
                 "a response header must be a (name, value) tuple, not %.200R", pair);
    return -1;
  }
  PyObject **items = PySequence_Fast_ITEMS(pair);
  cw_span_t name, value;
  if (cw_native_text(items[0], "a response header's name", &name) < 0 ||
      cw_native_text(items[1], "a response header's value", &value) < 0)
    return -1;
  int rc = cw_resp_field(self->req, name.p, name.len, value.p, value.len);
  if (rc == CW_BAD) {
    PyErr_Format(PyExc_ValueError, "invalid response header %.200R", pair);
    return -1;
  }
  if (rc == CW_NOMEM) {
    PyErr_NoMemory();
    return -1;
  }
  if (rc == 1 && !self->warned) {
    self->warned = true;
    return PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
                            "response header %R is the server's to send; left out",
                            items[0]);
  }
  return 0;
}

/* Re-raises exc_info: the head is out, the response can only be cut off. */
static PyObject *reraise(PyObject *exc_info) {
  PyObject *type, *value, *tb;
  if (!PyArg_ParseTuple(exc_info, "OOO;exc_info must be a tuple of three", &type,
                        &value, &tb))
    return NULL;
  if (!PyExceptionInstance_Check(value))
    return PyErr_Format(PyExc_TypeError, "exc_info carries no exception");
  if (tb != Py_None && PyException_SetTraceback(value, tb) < 0) return NULL;
  cw_exc_put(Py_NewRef(value));
  return NULL;
}

static PyMethodDef write_def;

static PyObject *start(start_response_t *self, PyObject *status, PyObject *headers,
                       PyObject *exc_info) {
  cw_span_t line;
  if (!self->req) {
    PyErr_SetString(PyExc_RuntimeError, "start_response was called after its request");
    return NULL;
  }
  if (exc_info && exc_info != Py_None) {
    if (cw_resp_sent(self->req)) return reraise(exc_info);
  } else if (self->called) {
    PyErr_SetString(PyExc_AssertionError,
                    "start_response was called a second time without exc_info");
    return NULL;
  }
  if (cw_native_text(status, "the response status", &line) < 0) return NULL;
  int rc = cw_resp_start(self->req, line.p, line.len);
  if (rc == CW_BAD)
    return PyErr_Format(PyExc_ValueError, "invalid response status %.200R", status);
  if (rc != 0) return PyErr_NoMemory();
  self->called = true;
  PyObject *fast =
      PySequence_Fast(headers, "response headers must be a list of tuples");
  if (!fast) goto fail;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast); i++)
    if (add_field(self, PySequence_Fast_GET_ITEM(fast, i)) < 0) goto fail;
  Py_DECREF(fast);
  if (self->keep) {
    Py_XSETREF(self->status, Py_NewRef(status));
    Py_XSETREF(self->headers, Py_NewRef(headers));
  }
  return PyCFunction_New(&write_def, (PyObject *)self);
fail:
  /* Nothing of a half-made head may go out, should the app go on regardless. */
  Py_XDECREF(fast);
  self->called = false;
  cw_resp_cancel(self->req);
  return NULL;
}

static PyObject *call(PyObject *obj, PyObject *const *args, size_t nargsf,
                      PyObject *kwnames) {
  static const char *const keywords[] = {"status", "response_headers", "exc_info"};
  PyObject *given[3] = {NULL, NULL, NULL};
  Py_ssize_t n = PyVectorcall_NARGS(nargsf);
  if (n > 3)
    return PyErr_Format(PyExc_TypeError, "start_response takes 2 or 3 arguments");
  for (Py_ssize_t i = 0; i < n; i++) given[i] = args[i];
  for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
    PyObject *name = PyTuple_GET_ITEM(kwnames, i);
    size_t k = 0;
    while (k < 3 && PyUnicode_CompareWithASCIIString(name, keywords[k]) != 0) k++;
    if (k == 3 && PyUnicode_CompareWithASCIIString(name, "headers") == 0) k = 1;
    if (k == 3 || given[k])
      return PyErr_Format(PyExc_TypeError, "start_response got an unexpected %R", name);
    given[k] = args[n + i];
  }
  if (!given[0] || !given[1])
    return PyErr_Format(PyExc_TypeError, "start_response needs a status and headers");
  return start((start_response_t *)obj, given[0], given[1], given[2]);
}

static PyObject *write_body(PyObject *obj, PyObject *data) {
  start_response_t *self = (start_response_t *)obj;
  if (!self->req) {
    PyErr_SetString(PyExc_RuntimeError, "write was called after its request");
    return NULL;
  }
  if (cw_forks_check() < 0 || cw_send_item(self->req, data, false) < 0) return NULL;
  Py_RETURN_NONE;
}

static PyMethodDef write_def = {"write", write_body, METH_O,
                                "write(data, /)\n--\n\nSends body bytes at once (PEP "
                                "3333, \"The write() Callable\")."};

static void dealloc(PyObject *obj) {
  PyTypeObject *type = Py_TYPE(obj);
  Py_XDECREF(((start_response_t *)obj)->status);
  Py_XDECREF(((start_response_t *)obj)->headers);
  PyObject_Free(obj);
  Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(start_response_t, vectorcall),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "start_response(status, response_headers, exc_info=None)\n--\n\nSee PEP 3333."},
    {Py_tp_dealloc, dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "cwsgi._core.StartResponse",
    .basicsize = sizeof(start_response_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

CW_COLD int cw_start_response_init(PyObject *module) {
  start_response_type = (PyTypeObject *)PyType_FromSpec(&spec);
  if (!start_response_type) return -1;
  return PyModule_AddObjectRef(module, "StartResponse",
                               (PyObject *)start_response_type);
}

PyObject *cw_start_response_new(cw_req_t *req) {
  start_response_t *self = PyObject_New(start_response_t, start_response_type);
  if (!self) return NULL;
  self->req = req;
  self->called = self->warned = self->keep = false;
  self->status = self->headers = NULL;
  self->vectorcall = call;
  return (PyObject *)self;
}

void cw_start_response_detach(PyObject *obj) {
  ((start_response_t *)obj)->req = NULL;
}

void cw_start_response_keep(PyObject *obj) {
  ((start_response_t *)obj)->keep = true;
}

PyObject *cw_start_response_status(PyObject *obj) {
  PyObject *status = ((start_response_t *)obj)->status;
  return status ? status : Py_None;
}

PyObject *cw_start_response_headers(PyObject *obj) {
  PyObject *headers = ((start_response_t *)obj)->headers;
  return headers ? headers : Py_None;
}
