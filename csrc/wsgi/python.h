/* SPDX-License-Identifier: MIT */
/* Python.h with the marks that prototypes in wsgi/ and worker/ carry. */
#ifndef CW_WSGI_PYTHON_H
#define CW_WSGI_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <assert.h>
#include <structmember.h>

#include "base/macros.h"

#define CW_NEW      /* returns a new reference, or NULL with an exception set */
#define CW_BORROWED /* returns a borrowed reference */
#define CW_RAISES   /* -1 comes with an exception set */
#define CW_STEALS( \
    n) /* takes the reference of its n-th parameter, whatever it returns */

#define CW_ASSERT_GIL() assert(PyGILState_Check())

/* PyUnicode objects of 3.10 and 3.11 may still be in their legacy form. */
#if PY_VERSION_HEX < 0x030C0000
#define CW_UNICODE_READY(o) (PyUnicode_READY(o) == 0)
#else
#define CW_UNICODE_READY(o) ((void)(o), 1)
#endif

/* Takes the current exception off the thread (NULL: none) and puts one back, which is
 * taken. One object in all versions, with its traceback. */
static inline PyObject *cw_exc_take(void) {
#if PY_VERSION_HEX >= 0x030C0000
  return PyErr_GetRaisedException();
#else
  PyObject *type, *value, *tb;
  PyErr_Fetch(&type, &value, &tb);
  if (!type) return NULL;
  PyErr_NormalizeException(&type, &value, &tb);
  if (tb) PyException_SetTraceback(value, tb);
  Py_DECREF(type);
  Py_XDECREF(tb);
  return value;
#endif
}

static inline CW_STEALS(1) void cw_exc_put(PyObject *exc) {
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(exc);
#else
  if (exc) PyErr_Restore(Py_NewRef(Py_TYPE(exc)), exc, PyException_GetTraceback(exc));
#endif
}

/* Sets a key; a value that is NULL comes with its exception. */
static inline CW_RAISES CW_STEALS(3) int cw_dict_take(PyObject *dict, PyObject *key,
                                                      PyObject *value) {
  if (!value) return -1;
  int rc = PyDict_SetItem(dict, key, value);
  Py_DECREF(value);
  return rc;
}

#endif
