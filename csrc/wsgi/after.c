/* SPDX-License-Identifier: MIT */
/* cwsgi.after_response(): work that the client does not wait for. It runs on the thread
 * that ran the request, which counts as busy meanwhile; TERM waits for it. */
#include "wsgi/wsgi_internal.h"

static PyObject *after_response(PyObject *module, PyObject *args, PyObject *kwargs) {
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  if (n == 0 || !PyCallable_Check(PyTuple_GET_ITEM(args, 0)))
    return PyErr_Format(PyExc_TypeError, "after_response needs a callable");
  cw_runner_t *runner = cw_runner();
  if (!runner || !runner->req)
    return PyErr_Format(PyExc_RuntimeError,
                        "after_response is for the thread that runs a request");
  PyObject *rest = PyTuple_GetSlice(args, 1, n), *entry = NULL;
  if (rest)
    entry = PyTuple_Pack(3, PyTuple_GET_ITEM(args, 0), rest, kwargs ? kwargs : Py_None);
  Py_XDECREF(rest);
  if (!runner->after) runner->after = PyList_New(0);
  int rc = entry && runner->after ? PyList_Append(runner->after, entry) : -1;
  Py_XDECREF(entry);
  if (rc < 0) return NULL;
  Py_RETURN_NONE;
}

void cw_after_run(cw_runner_t *runner) {
  /* Its own: a function may use what registers more, which is refused. */
  PyObject *list = runner->after;
  runner->after = NULL;
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
