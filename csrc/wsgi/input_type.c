/* SPDX-License-Identifier: MIT */
/* wsgi.input: a file-like over the request's body, EOF at its end for both framings. */
#include <string.h>

#include "wsgi/wsgi_internal.h"

enum { STEP = 64 * 1024 };

typedef struct input {
  PyObject_HEAD cw_req_t *req; /* NULL once the request is over */
} input_t;

/* Made once, for the process's life. */
static PyTypeObject *input_type;

static cw_req_t *request(PyObject *self) {
  cw_req_t *req = ((input_t *)self)->req;
  if (!req) PyErr_SetString(PyExc_ValueError, "wsgi.input was used after its request");
  return req;
}

/* cw_body_take() that waits, with the GIL released, and raises. */
static Py_ssize_t take(PyObject *self, char *buf, Py_ssize_t n, bool line) {
  for (;;) {
    cw_req_t *req = request(self); /* again: another thread may end the request */
    if (!req || cw_forks_check() < 0) return -1;
    ssize_t got = cw_body_take(req, buf, (size_t)n, line);
    if (got >= 0) return got;
    if (got != CW_WAIT) {
      const char *why = cw_body_error(req, NULL);
      if (why)
        PyErr_SetString(PyExc_OSError, why);
      else
        PyErr_SetString(cw_client_disconnected,
                        "the client left before its request body was complete");
      return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    cw_req_wait_nogil(req);
    Py_END_ALLOW_THREADS
  }
}

/* Reads up to `limit` bytes (negative: all), or to the end of a line. */
static PyObject *read_bytes(PyObject *self, Py_ssize_t limit, bool line) {
  cw_req_t *req = request(self);
  if (!req) return NULL;
  int64_t left = cw_body_left(req);
  if (limit < 0) limit = PY_SSIZE_T_MAX;
  if (left >= 0 && left < limit) limit = (Py_ssize_t)left;
  if (limit == 0) return PyBytes_FromStringAndSize(NULL, 0);
  /* A line's length is not known: begin small. A declared length is believed only as
   * far as bytes have come, or a lying client could make us reserve gigabytes. */
  Py_ssize_t room = CW_MIN(limit, line ? 512 : STEP), len = 0;
  PyObject *out = PyBytes_FromStringAndSize(NULL, room);
  if (!out) return NULL;
  while (len < limit) {
    if (len == room) {
      room = room > limit / 2 ? limit : room * 2;
      if (_PyBytes_Resize(&out, room) < 0) return NULL;
    }
    char *at = PyBytes_AS_STRING(out) + len;
    Py_ssize_t got = take(self, at, room - len, line);
    if (got < 0) {
      Py_DECREF(out);
      return NULL;
    }
    len += got;
    if (got == 0 || (line && at[got - 1] == '\n')) break;
  }
  if (len != room && _PyBytes_Resize(&out, len) < 0) return NULL;
  return out;
}

/* The optional size argument: None and negative mean no limit. */
static int parse_size(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t *size) {
  *size = -1;
  if (nargs > 1) {
    PyErr_Format(PyExc_TypeError, "at most one argument is taken, %zd given", nargs);
    return -1;
  }
  if (nargs == 0 || args[0] == Py_None) return 0;
  *size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
  return *size == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *input_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  Py_ssize_t size;
  if (parse_size(args, nargs, &size) < 0) return NULL;
  return read_bytes(self, size, false);
}

static PyObject *input_readline(PyObject *self, PyObject *const *args,
                                Py_ssize_t nargs) {
  Py_ssize_t size;
  if (parse_size(args, nargs, &size) < 0) return NULL;
  return read_bytes(self, size, true);
}

static PyObject *input_readlines(PyObject *self, PyObject *const *args,
                                 Py_ssize_t nargs) {
  Py_ssize_t hint, total = 0;
  if (parse_size(args, nargs, &hint) < 0) return NULL;
  PyObject *lines = PyList_New(0);
  while (lines) {
    PyObject *line = read_bytes(self, -1, true);
    Py_ssize_t n = line ? PyBytes_GET_SIZE(line) : 0;
    if (line && n == 0) {
      Py_DECREF(line);
      break;
    }
    int rc = line ? PyList_Append(lines, line) : -1;
    Py_XDECREF(line);
    if (rc < 0) Py_CLEAR(lines);
    total += n;
    if (hint > 0 && total >= hint) break;
  }
  return lines;
}

static PyObject *input_readinto(PyObject *self, PyObject *target) {
  Py_buffer view;
  if (PyObject_GetBuffer(target, &view, PyBUF_WRITABLE) < 0) return NULL;
  Py_ssize_t len = 0, got = 1;
  while (len < view.len && got > 0) {
    got = take(self, (char *)view.buf + len, view.len - len, false);
    len += CW_MAX(got, 0);
  }
  PyBuffer_Release(&view);
  return got < 0 ? NULL : PyLong_FromSsize_t(len);
}

static PyObject *input_next(PyObject *self) {
  PyObject *line = read_bytes(self, -1, true);
  if (line && PyBytes_GET_SIZE(line) == 0) Py_CLEAR(line);
  return line;
}

static void input_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL,
     "read(size=-1, /)\n--\n\nUp to size bytes, fewer only at the end of the body."},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL,
     "readline(size=-1, /)\n--\n\nThe next line, cut after size bytes."},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL,
     "readlines(hint=-1, /)\n--\n\nThe lines left, or as many as hold hint bytes."},
    {"readinto", input_readinto, METH_O,
     "readinto(buffer, /)\n--\n\nFills buffer; returns the count."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The request body (PEP 3333, wsgi.input)."},
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, input_next},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "cwsgi._core.Input",
    .basicsize = sizeof(input_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

CW_COLD int cw_input_type_init(PyObject *module) {
  input_type = (PyTypeObject *)PyType_FromSpec(&spec);
  return input_type ? PyModule_AddObjectRef(module, "Input", (PyObject *)input_type)
                    : -1;
}

PyObject *cw_input_new(cw_req_t *req) {
  input_t *self = PyObject_New(input_t, input_type);
  if (self) self->req = req;
  return (PyObject *)self;
}

void cw_input_detach(PyObject *input) {
  ((input_t *)input)->req = NULL;
}
