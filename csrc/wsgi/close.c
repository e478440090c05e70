/* SPDX-License-Identifier: MIT */
/* close() of what an application returned. */
#include "wsgi/wsgi_internal.h"

/* Made once, for the process's life. */
static PyObject *k_close;

int cw_close(PyObject *obj) {
  PyObject *r = PyObject_CallMethodNoArgs(obj, k_close);
  Py_XDECREF(r);
  if (r) return 0;
  if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return -1;
  /* Either there is no close(), or this comes from within it. */
  PyObject *exc = cw_exc_take(), *close = PyObject_GetAttr(obj, k_close);
  bool none = !close && PyErr_ExceptionMatches(PyExc_AttributeError);
  PyErr_Clear();
  Py_XDECREF(close);
  if (none)
    Py_XDECREF(exc);
  else
    cw_exc_put(exc);
  return none ? 0 : -1;
}

int cw_close_init(void) {
  k_close = PyUnicode_InternFromString("close");
  return k_close ? 0 : -1;
}
