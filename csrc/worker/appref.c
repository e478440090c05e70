/* SPDX-License-Identifier: MIT */
/* Importing the app, and saying what is wrong with it. */
#include "worker/appref.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/ref.h"
#include "wsgi/wsgi_internal.h"

enum { IMPORT_FAILED = 3, APP_UNUSABLE = 4 };

static const char *cwd(void) {
  static char path[PATH_MAX];
  return getcwd(path, sizeof(path)) ? path : "?";
}

/* "TypeError: text" of the current exception, which is kept. */
static void describe(char *out, size_t len) {
  PyObject *exc = cw_exc_take();
  PyObject *text = exc ? PyObject_Str(exc) : NULL;
  const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
  const char *name = exc ? Py_TYPE(exc)->tp_name : "?";
  snprintf(out, len, "%s%s%s", name, utf8 && *utf8 ? ": " : "", utf8 ? utf8 : "");
  Py_XDECREF(text);
  PyErr_Clear();
  cw_exc_put(exc);
}

/* A failed import: the traceback, then one line that says what was being imported. */
static void report_import(const char *ref) {
  char what[512];
  describe(what, sizeof(what));
  cw_report_exception("Exception while importing the app", NULL);
  cw_complain("cannot import '%s' in %s: %s", ref, cwd(), what);
}

/* Follows the dotted names of `attr` from `obj`, which is taken. */
static PyObject *follow(PyObject *obj, const char *ref, cw_span_t attr) {
  cw_span_t part;
  while (obj && cw_ref_next_name(&attr, &part)) {
    PyObject *name = PyUnicode_DecodeFSDefaultAndSize(part.p, (Py_ssize_t)part.len);
    PyObject *next = name ? PyObject_GetAttr(obj, name) : NULL;
    if (!next && PyErr_ExceptionMatches(PyExc_AttributeError)) {
      PyErr_Clear();
      cw_complain("cannot use '%s' (in %s): '%.*s' has no attribute '%.*s'", ref, cwd(),
                  (int)(part.p - ref) - 1, ref, (int)part.len, part.p);
    } else if (!next) {
      cw_report_exception("Exception while looking for the app", NULL);
    }
    Py_XDECREF(name);
    Py_DECREF(obj);
    obj = next;
  }
  return obj;
}

/* Calls the factory of "name(args)" through cwsgi._factory, which takes literals only.
 */
static PyObject *call_factory(PyObject *module, const char *ref, const char *expr) {
  PyObject *helper = PyImport_ImportModule("cwsgi._factory"), *bad = NULL;
  PyObject *app =
      helper ? PyObject_CallMethod(helper, "call", "Os", module, expr) : NULL;
  if (!app) {
    char what[512];
    PyObject *exc = cw_exc_take();
    if (helper) bad = PyObject_GetAttrString(helper, "BadReference");
    cw_exc_put(exc);
    bool mistyped = bad && PyErr_ExceptionMatches(bad);
    describe(what, sizeof(what));
    const char *text = mistyped && strchr(what, ' ') ? strchr(what, ' ') + 1 : what;
    if (mistyped)
      PyErr_Clear(); /* a traceback through our own code helps nobody */
    else
      cw_report_exception("Exception in the app's factory", NULL);
    cw_complain("cannot use '%s' (in %s): %s", ref, cwd(), text);
  }
  Py_XDECREF(bad);
  Py_XDECREF(helper);
  return app;
}

/* A bare module: gunicorn's name first, then the one most people use. */
static PyObject *default_attr(PyObject *module, const char *ref) {
  static const char *const names[] = {"application", "app"};
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++) {
    PyObject *app = PyObject_GetAttrString(module, names[i]);
    if (app || !PyErr_ExceptionMatches(PyExc_AttributeError)) return app;
    PyErr_Clear();
  }
  cw_complain("cannot use '%s' (in %s): it has neither 'application' nor 'app'", ref,
              cwd());
  return NULL;
}

PyObject *cw_appref_load(const char *ref, int *exit_code) {
  CW_ASSERT_GIL();
  cw_ref_t parts;
  const char *wrong = cw_ref_split(ref, &parts);
  *exit_code = APP_UNUSABLE;
  if (wrong) {
    cw_complain("cannot use '%s': %s", ref, wrong);
    return NULL;
  }
  PyObject *name =
      PyUnicode_DecodeFSDefaultAndSize(parts.module.p, (Py_ssize_t)parts.module.len);
  PyObject *module = name ? PyImport_Import(name) : NULL;
  *exit_code = IMPORT_FAILED;
  if (!module) {
    Py_XDECREF(name);
    report_import(ref);
    return NULL;
  }
  *exit_code = APP_UNUSABLE;
  PyObject *app;
  if (parts.bare)
    app = default_attr(module, ref);
  else if (parts.call)
    app = call_factory(module, ref, parts.attr.p);
  else
    app = follow(Py_NewRef(module), ref, parts.attr);
  Py_DECREF(module);
  if (app && !PyCallable_Check(app)) {
    cw_complain("cannot use '%s' (in %s): it is a %s, which is not callable", ref,
                cwd(), Py_TYPE(app)->tp_name);
    Py_CLEAR(app);
  }
  if (PyErr_Occurred())
    cw_report_exception("Exception while looking for the app", NULL);
  Py_DECREF(name);
  return app;
}
