/* SPDX-License-Identifier: MIT */
/* What importlib compiles. It does all of that by SourceLoader.source_to_code(self,
 * data, path), which a function of ours replaces for the time of the app's import. */
#include "worker/compiled.h"

#include "base/clock.h"

static const char method[] = "source_to_code";

/* The process's: importlib's class and a list of (path, us), from begin to end; and the
 * class's own method, which stays: a thread may be about to call ours. */
static PyObject *loader, *original, *compiled;

static PyObject *compile(PyObject *module, PyObject *args, PyObject *kwargs) {
  int64_t began = cw_now_us();
  PyObject *code = PyObject_Call(original, args, kwargs);
  if (!code || !compiled || PyTuple_Size(args) < 3) return code;
  PyObject *path = PyTuple_GetItem(args, 2); /* borrowed */
  PyObject *item = Py_BuildValue("OL", path, (long long)(cw_now_us() - began));
  if (!item || PyList_Append(compiled, item) < 0) Py_CLEAR(code);
  Py_XDECREF(item);
  return code;
}

static PyMethodDef definition = {"source_to_code", (PyCFunction)(void (*)(void))compile,
                                 METH_VARARGS | METH_KEYWORDS, NULL};

int cw_compiled_begin(void) {
  CW_ASSERT_GIL();
  PyObject *module = PyImport_ImportModule("_frozen_importlib_external");
  PyObject *function = PyCFunction_New(&definition, NULL);
  PyObject *bound = function ? PyInstanceMethod_New(function) : NULL;
  loader = module ? PyObject_GetAttrString(module, "SourceLoader") : NULL;
  original = loader ? PyObject_GetAttrString(loader, method) : NULL;
  compiled = original && bound ? PyList_New(0) : NULL;
  int rc = compiled ? PyObject_SetAttrString(loader, method, bound) : -1;
  Py_XDECREF(bound);
  Py_XDECREF(function);
  Py_XDECREF(module);
  return rc;
}

int cw_compiled_end(int64_t began) {
  CW_ASSERT_GIL();
  if (!compiled) return 0;
  int rc = PyObject_SetAttrString(loader, method, original);
  PyObject *r = NULL, *list = compiled;
  compiled = NULL;
  Py_CLEAR(loader);
  if (rc == 0 && PyList_Size(list) > 0) {
    PyObject *module = PyImport_ImportModule("cwsgi._compiled");
    r = module ? PyObject_CallMethod(module, "report", "OL", list, (long long)began)
               : NULL;
    Py_XDECREF(module);
    if (!r) rc = -1;
  }
  Py_XDECREF(r);
  Py_DECREF(list);
  return rc;
}
