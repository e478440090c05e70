/* SPDX-License-Identifier: MIT */
/* wsgi.early_hints(headers), as gunicorn has it: 103 Early Hints (RFC 8297). */
#include "wsgi/wsgi_internal.h"

enum { MOST_HINTS = 64 };

/* Name and value as str, or as bytes, which gunicorn takes, too. */
static int hint_text(PyObject *o, cw_span_t *out) {
  if (!PyBytes_Check(o)) return cw_native_text(o, "an early hint", out);
  *out = (cw_span_t){PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o)};
  return 0;
}

static PyObject *send_hints(PyObject *module, PyObject *headers) {
  /* One function for all requests, which costs them nothing: the thread knows which. */
  cw_runner_t *runner = cw_runner();
  cw_req_t *req = runner ? runner->req : NULL;
  cw_field_t fields[MOST_HINTS];
  unsigned n = 0;
  if (cw_forks_check() < 0) return NULL;
  PyObject *fast = PySequence_Fast(headers, "early hints must be a list of tuples");
  if (!fast) return NULL;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast); i++) {
    PyObject *pair = PySequence_Fast_GET_ITEM(fast, i);
    if (n == MOST_HINTS || !PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
      PyErr_Format(PyExc_TypeError,
                   "early hints must be at most %d (name, value) tuples", MOST_HINTS);
      goto fail;
    }
    if (hint_text(PyTuple_GET_ITEM(pair, 0), &fields[n].name) < 0 ||
        hint_text(PyTuple_GET_ITEM(pair, 1), &fields[n].value) < 0)
      goto fail;
    n++;
  }
  int rc = req ? cw_resp_early_hints(req, fields, n) : CW_OK;
  Py_DECREF(fast);
  if (rc == CW_BAD) return PyErr_Format(PyExc_ValueError, "invalid early hint");
  if (rc == CW_NOMEM) return PyErr_NoMemory();
  /* A client that left is told of by the response. */
  Py_RETURN_NONE;
fail:
  Py_DECREF(fast);
  return NULL;
}

static PyMethodDef hints_def = {
    "early_hints", send_hints, METH_O,
    "early_hints(headers, /)\n--\n\nSends 103 Early Hints (RFC 8297)."};

PyObject *cw_early_hints_new(void) {
  return PyCFunction_New(&hints_def, NULL);
}
