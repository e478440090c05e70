/* SPDX-License-Identifier: MIT */
/* Importing the app, and saying what is wrong with it. */
#include "worker/appref.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/exit_codes.h"
#include "base/import_string.h"
#include "base/log.h"
#include "wsgi/wsgi.h"

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

/* A failed import: the traceback where it shows the app, and one line that says what
 * was being imported. */
static void report_import(const char *ref, PyObject *name) {
  PyObject *exc = cw_exc_take(), *r = NULL;
  PyObject *helper = PyImport_ImportModule("cwsgi._appref");
  const char *text = NULL, *why = "?";
  if (helper) r = PyObject_CallMethod(helper, "explain", "OO", name, exc);
  if (r && PyArg_ParseTuple(r, "ss", &text, &why)) {
    size_t n = strlen(text);
    if (n) cw_log_text(CW_LOG_ERROR, text, n, "Exception while importing the app");
    /* Who reads the log has seen the reason there. */
    bool seen = n && cw_log_fd() == STDERR_FILENO;
    cw_complain("cannot import '%s' in %s%s%s", ref, cwd(), seen ? "" : ": ",
                seen ? "" : why);
  } else {
    /* A reason that cannot be encoded, or no memory for it. */
    PyErr_Clear();
    cw_exc_put(Py_NewRef(exc));
    cw_wsgi_report("Exception while importing the app");
    cw_complain("cannot import '%s' in %s", ref, cwd());
  }
  Py_XDECREF(r);
  Py_XDECREF(helper);
  Py_XDECREF(exc);
}

/* "; did you mean 'app'?" for a name that `holder` lacks, or "". */
static void suggest(PyObject *holder, const char *name, size_t len, const char *module,
                    char *out, size_t out_len) {
  PyObject *helper = PyImport_ImportModule("cwsgi._appref");
  PyObject *r = helper ? PyObject_CallMethod(helper, "nearest", "Os#s", holder, name,
                                             (Py_ssize_t)len, module)
                       : NULL;
  const char *text = r ? PyUnicode_AsUTF8(r) : NULL;
  snprintf(out, out_len, "%s", text ? text : "");
  PyErr_Clear(); /* an object without names of its own: nothing to suggest */
  Py_XDECREF(r);
  Py_XDECREF(helper);
}

/* Follows the dotted names of `attr` from `obj`, which is taken. */
static PyObject *follow(PyObject *obj, const char *ref, cw_span_t attr) {
  cw_span_t part;
  while (obj && cw_import_string_next(&attr, &part)) {
    PyObject *name = PyUnicode_DecodeFSDefaultAndSize(part.p, (Py_ssize_t)part.len);
    PyObject *next = name ? PyObject_GetAttr(obj, name) : NULL;
    if (!next && PyErr_ExceptionMatches(PyExc_AttributeError)) {
      char hint[256];
      PyErr_Clear();
      suggest(obj, part.p, part.len, "", hint, sizeof(hint));
      cw_complain("cannot use '%s' (in %s): '%.*s' has no attribute '%.*s'%s", ref,
                  cwd(), (int)(part.p - ref) - 1, ref, (int)part.len, part.p, hint);
    } else if (!next) {
      cw_wsgi_report("Exception while looking for the app");
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
      cw_wsgi_report("Exception in the app's factory");
    cw_complain("cannot use '%s' (in %s): %s", ref, cwd(), text);
  }
  Py_XDECREF(bad);
  Py_XDECREF(helper);
  return app;
}

/* --factory: calls what was named, which is taken. */
static PyObject *call_plain(PyObject *factory, const char *ref) {
  PyObject *app = PyObject_CallNoArgs(factory);
  Py_DECREF(factory);
  if (app) return app;
  cw_wsgi_report("Exception in the app's factory");
  cw_complain("cannot use '%s' (in %s): its factory failed", ref, cwd());
  return NULL;
}

/* A bare module: gunicorn's name first, then the one most people use. */
static PyObject *default_attr(PyObject *module, const char *ref) {
  static const char *const names[] = {"application", "app"};
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++) {
    PyObject *app = PyObject_GetAttrString(module, names[i]);
    if (app || !PyErr_ExceptionMatches(PyExc_AttributeError)) return app;
    PyErr_Clear();
  }
  char hint[256];
  suggest(module, "", 0, ref, hint, sizeof(hint));
  cw_complain("cannot use '%s' (in %s): it has neither 'application' nor 'app'%s", ref,
              cwd(), hint);
  return NULL;
}

/* ---- what kind of app ----------------------------------------------------- */

/* The function that a call of `app` runs, or NULL (no exception) where it is not one of
 * Python's. */
static PyObject *function_of(PyObject *app, bool *bound) {
  PyObject *called = PyFunction_Check(app) || PyMethod_Check(app) ? Py_NewRef(app)
                     : PyType_Check(app)                          ? NULL
                                         : PyObject_GetAttrString(app, "__call__");
  if (!called) PyErr_Clear();
  *bound = called && PyMethod_Check(called);
  PyObject *fn = *bound ? Py_NewRef(PyMethod_GET_FUNCTION(called)) : Py_XNewRef(called);
  Py_XDECREF(called);
  if (fn && !PyFunction_Check(fn)) Py_CLEAR(fn);
  return fn;
}

static long number_of(PyObject *code, const char *name) {
  PyObject *value = PyObject_GetAttrString(code, name);
  long n = value ? PyLong_AsLong(value) : -1;
  Py_XDECREF(value);
  PyErr_Clear();
  return n;
}

/* Whether the parameter of this index is called so. */
static bool is_named(PyObject *code, long index, const char *name) {
  PyObject *names = PyObject_GetAttrString(code, "co_varnames");
  PyObject *item = names && PyTuple_Check(names) ? PyTuple_GetItem(names, index)
                                                 : NULL; /* borrowed */
  bool same = item && PyUnicode_CompareWithASCIIString(item, name) == 0;
  Py_XDECREF(names);
  PyErr_Clear();
  return same;
}

/* What functools.partial() was made of, or the object itself. Borrowed. */
static CW_BORROWED PyObject *without_partial(PyObject *app) {
  for (int i = 0; i < 8 && strcmp(Py_TYPE(app)->tp_name, "functools.partial") == 0;
       i++) {
    PyObject *func = PyObject_GetAttrString(app, "func");
    if (!func) break;
    app = func;
    Py_DECREF(func); /* the partial holds it */
  }
  PyErr_Clear();
  return app;
}

/* Says so, and returns an exit code, where the object cannot be an app. *async: it is
 * an ASGI app. */
static int check_kind(const char *ref, PyObject *app, cw_interface_t kind,
                      bool *async) {
  if (!PyCallable_Check(app)) {
    cw_complain("cannot use '%s' (in %s): it is a %s, which is not callable", ref,
                cwd(), Py_TYPE(app)->tp_name);
    return CW_EXIT_APP;
  }
  bool bound;
  PyObject *fn = function_of(without_partial(app), &bound);
  PyObject *code = fn ? PyFunction_GET_CODE(fn) : NULL; /* borrowed */
  long flags = code ? number_of(code, "co_flags") : 0;
  long least = code ? number_of(code, "co_argcount") - bound : 2;
  bool named = code && is_named(code, bound, "scope");
  bool asgi = flags & CO_COROUTINE || (least == 3 && named);
  bool old = least == 1 && named && !asgi;
  bool factory = PyFunction_Check(app) && least == 0 && !(flags & CO_VARARGS);
  Py_XDECREF(fn);
  *async = kind == CW_INTERFACE_ASGI || (kind == CW_INTERFACE_AUTO && asgi);
  if (factory)
    cw_complain(
        "cannot use '%s' (in %s): it takes no arguments, so it is no app; if it makes "
        "one, write '%s()'",
        ref, cwd(), ref);
  else if (old)
    cw_complain(
        "cannot use '%s' (in %s): it is an app of ASGI 2, and ASGI 3 is served: "
        "asgiref.compatibility.guarantee_single_callable(app) makes it one",
        ref, cwd());
  return factory || old ? CW_EXIT_APP : 0;
}

PyObject *cw_appref_load(const char *ref, const cw_appref_how_t *how, bool *async,
                         int *exit_code) {
  CW_ASSERT_GIL();
  cw_import_string_t parts;
  const char *wrong = cw_import_string_split(ref, &parts);
  *exit_code = CW_EXIT_APP;
  if (wrong) {
    cw_complain("cannot use '%s': %s", ref, wrong);
    return NULL;
  }
  PyObject *name =
      PyUnicode_DecodeFSDefaultAndSize(parts.module.p, (Py_ssize_t)parts.module.len);
  PyObject *module = name ? PyImport_Import(name) : NULL;
  *exit_code = CW_EXIT_BOOT;
  if (!module) {
    report_import(ref, name);
    Py_XDECREF(name);
    return NULL;
  }
  *exit_code = CW_EXIT_APP;
  PyObject *app;
  if (parts.bare)
    app = default_attr(module, ref);
  else if (parts.call)
    app = call_factory(module, ref, parts.attr.p);
  else
    app = follow(Py_NewRef(module), ref, parts.attr);
  Py_DECREF(module);
  if (how->factory && !parts.call && app) app = call_plain(app, ref);
  int code = app ? check_kind(ref, app, how->kind, async) : 0;
  if (code) {
    *exit_code = code;
    Py_CLEAR(app);
  }
  if (PyErr_Occurred()) cw_wsgi_report("Exception while looking for the app");
  Py_DECREF(name);
  return app;
}
