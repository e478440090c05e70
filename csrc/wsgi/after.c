/* SPDX-License-Identifier: MIT */
/* cwsgi.after_response(): work that the client does not wait for. It runs on the thread
 * that ran the request, which counts as busy meanwhile; TERM waits for it. */
#include "wsgi/wsgi_internal.h"

static _Thread_local PyObject *functions; /* list of (fn, args, kwargs), or NULL */
static _Thread_local bool in_request;

static PyObject *after_response(PyObject *module, PyObject *args, PyObject *kwargs) {
  (void)module;
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  if (n == 0 || !PyCallable_Check(PyTuple_GET_ITEM(args, 0)))
    return PyErr_Format(PyExc_TypeError, "after_response needs a callable");
  if (!in_request)
    return PyErr_Format(PyExc_RuntimeError,
                        "after_response is for the thread that runs a request");
  PyObject *rest = PyTuple_GetSlice(args, 1, n), *entry = NULL;
  if (rest)
    entry = PyTuple_Pack(3, PyTuple_GET_ITEM(args, 0), rest, kwargs ? kwargs : Py_None);
  Py_XDECREF(rest);
  if (!functions) functions = PyList_New(0);
  int rc = entry && functions ? PyList_Append(functions, entry) : -1;
  Py_XDECREF(entry);
  if (rc < 0) return NULL;
  Py_RETURN_NONE;
}

void cw_after_begin(void) {
  in_request = true;
}

void cw_after_run(void) {
  in_request = false;
  if (CW_LIKELY(!functions)) return;
  /* Its own: a function may use what registers more, which is refused. */
  PyObject *list = functions;
  functions = NULL;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
    PyObject *entry = PyList_GET_ITEM(list, i), *kwargs = PyTuple_GET_ITEM(entry, 2);
    PyObject *r = PyObject_Call(PyTuple_GET_ITEM(entry, 0), PyTuple_GET_ITEM(entry, 1),
                                kwargs == Py_None ? NULL : kwargs);
    if (!r) cw_report_exception("Exception in an after_response function", NULL);
    Py_XDECREF(r);
  }
  Py_DECREF(list);
}

static PyMethodDef methods[] = {
    {"after_response", (PyCFunction)(void (*)(void))after_response,
     METH_VARARGS | METH_KEYWORDS,
     "after_response(fn, /, *args, **kwargs)\n--\n\n"
     "Has fn(*args, **kwargs) called once this request's response has left."},
    {NULL, NULL, 0, NULL},
};

int cw_after_init(PyObject *module) {
  return PyModule_AddFunctions(module, methods);
}
