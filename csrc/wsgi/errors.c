/* SPDX-License-Identifier: MIT */
/* wsgi.errors: text to the error log, whole lines only, from any thread. Each thread
 * collects its own line, so that lines of two threads never mix. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/forked.h"
#include "base/io.h"
#include "base/log.h"
#include "wsgi/wsgi.h"
#include "wsgi/wsgi_internal.h"

enum { LINE_MAX_KEPT = 8 * 1024 };

typedef struct line {
  size_t len;
  char text[LINE_MAX_KEPT];
} line_t;

/* Freed at its thread's end by drop_line(), which `key` is for. The main thread's goes
 * with the process. */
static _Thread_local line_t *line;
static pthread_key_t key; /* for the process's life */

/* Made once, for the process's life. */
static PyTypeObject *errors_type;

/* Where that fails there is nowhere left to say so. */
static void to_log(const char *p, size_t n) {
  (void)!cw_write_all(cw_log_fd(), p, n);
}

void cw_errors_flush(void) {
  if (!line || line->len == 0) return;
  size_t n = line->len;
  line->len = 0;
  Py_BEGIN_ALLOW_THREADS
  to_log(line->text, n);
  Py_END_ALLOW_THREADS
}

/* A thread ends: what it wrote last has no newline, and is written all the same. */
static void drop_line(void *arg) {
  line_t *last = arg;
  if (last->len) to_log(last->text, last->len);
  free(last);
}

static line_t *new_line(void) {
  line_t *l = cw_calloc(1, sizeof(*l));
  if (l && pthread_setspecific(key, l) == 0) return l;
  free(l);
  return NULL;
}

int cw_errors_init(void) {
  static bool made;
  int rc = made ? 0 : pthread_key_create(&key, drop_line);
  made = rc == 0;
  if (rc == 0) return 0;
  errno = rc;
  PyErr_SetFromErrno(PyExc_OSError);
  return -1;
}

/* Writes the whole lines of `p`, keeps what follows the last newline. */
static int put(const char *p, size_t n) {
  if (!line && !(line = new_line())) {
    PyErr_NoMemory();
    return -1;
  }
  const char *lf = memrchr(p, '\n', n);
  size_t whole = lf ? (size_t)(lf - p) + 1 : 0;
  if (line->len + n - whole > LINE_MAX_KEPT) whole = n;
  if (whole) {
    /* One write for the kept start and the new end, or the line could be torn. */
    char *joined = line->len ? cw_malloc(line->len + whole) : NULL;
    if (joined) {
      memcpy(joined, line->text, line->len);
      memcpy(joined + line->len, p, whole);
      size_t total = line->len + whole;
      line->len = 0;
      Py_BEGIN_ALLOW_THREADS
      to_log(joined, total);
      Py_END_ALLOW_THREADS
      free(joined);
    } else {
      cw_errors_flush();
      Py_BEGIN_ALLOW_THREADS
      to_log(p, whole);
      Py_END_ALLOW_THREADS
    }
  }
  memcpy(line->text + line->len, p + whole, n - whole);
  line->len += n - whole;
  return 0;
}

static PyObject *errors_write(PyObject *self, PyObject *text) {
  if (!PyUnicode_Check(text))
    return PyErr_Format(PyExc_TypeError, "wsgi.errors takes str, not %.100s",
                        Py_TYPE(text)->tp_name);
  PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
  if (!bytes) return NULL;
  int rc = put(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
  Py_DECREF(bytes);
  return rc < 0 ? NULL : PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

static PyObject *errors_writelines(PyObject *self, PyObject *lines) {
  PyObject *it = PyObject_GetIter(lines), *item;
  if (!it) return NULL;
  while ((item = PyIter_Next(it)) != NULL) {
    PyObject *r = errors_write(self, item);
    Py_DECREF(item);
    if (!r) break;
    Py_DECREF(r);
  }
  Py_DECREF(it);
  if (PyErr_Occurred()) return NULL;
  Py_RETURN_NONE;
}

static PyObject *errors_flush(PyObject *self, PyObject *unused) {
  cw_errors_flush();
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"write", errors_write, METH_O,
     "write(text, /)\n--\n\nWrites whole lines at once."},
    {"writelines", errors_writelines, METH_O,
     "writelines(lines, /)\n--\n\nWrites each."},
    {"flush", errors_flush, METH_NOARGS,
     "flush()\n--\n\nWrites out this thread's unfinished line."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The error stream (PEP 3333, wsgi.errors)."},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "cwsgi._core.Errors",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

PyObject *cw_errors_new(void) {
  if (!errors_type && !(errors_type = (PyTypeObject *)PyType_FromSpec(&spec)))
    return NULL;
  return PyObject_New(PyObject, errors_type);
}

/* The traceback as text, by the traceback module: chained exceptions and notes as in
 * any Python program. */
static PyObject *format_current(void) {
  PyObject *exc = cw_exc_take(), *text = NULL, *lines = NULL, *sep = NULL, *tb = NULL;
  PyObject *module = exc ? PyImport_ImportModule("traceback") : NULL;
  if (module) {
    tb = PyException_GetTraceback(exc);
    lines = PyObject_CallMethod(module, "format_exception", "OOO", Py_TYPE(exc), exc,
                                tb ? tb : Py_None);
  }
  if (lines && (sep = PyUnicode_FromString(""))) text = PyUnicode_Join(sep, lines);
  Py_XDECREF(sep);
  Py_XDECREF(lines);
  Py_XDECREF(tb);
  Py_XDECREF(module);
  Py_XDECREF(exc);
  return text;
}

/* Borrowed, for the process's life. */
static PyObject *reporter;

void cw_wsgi_set_reporter(PyObject *object) {
  reporter = object;
}

/* Method and target as text, escaped where they are no ASCII. */
static CW_NEW PyObject *request_line(const cw_head_t *head) {
  Py_ssize_t shown = (Py_ssize_t)cw_log_target(head->target.p, head->target.len);
  PyObject *method = PyUnicode_DecodeASCII(head->method.p, (Py_ssize_t)head->method.len,
                                           "backslashreplace");
  PyObject *target = PyUnicode_DecodeASCII(head->target.p, shown, "backslashreplace");
  PyObject *text =
      method && target ? PyUnicode_FromFormat("%U %U", method, target) : NULL;
  Py_XDECREF(method);
  Py_XDECREF(target);
  return text;
}

/* Has the reporter log the current exception, which stays where that fails. */
static bool told_reporter(const char *what, const cw_head_t *head) {
  PyObject *exc = cw_exc_take(), *text, *r = NULL;
  text = head ? request_line(head) : Py_NewRef(Py_None);
  if (exc && text) r = PyObject_CallFunction(reporter, "sOO", what, text, exc);
  bool told = r && PyObject_IsTrue(r) == 1;
  Py_XDECREF(r);
  Py_XDECREF(text);
  if (told) {
    Py_XDECREF(exc);
    return true;
  }
  PyErr_Clear();
  cw_exc_put(exc);
  return false;
}

CW_COLD void cw_report_exception(const char *what, const cw_head_t *head) {
  CW_ASSERT_GIL();
  if (CW_UNLIKELY(reporter != NULL) && !cw_forked_child && told_reporter(what, head)) {
    cw_errors_flush();
    return;
  }
  PyObject *text = format_current();
  PyErr_Clear();
  cw_errors_flush();
  PyObject *bytes =
      text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
  /* Out of memory while reporting: the line has to do. */
  PyErr_Clear();
  const char *p = bytes ? PyBytes_AS_STRING(bytes) : NULL;
  size_t n = bytes ? (size_t)PyBytes_GET_SIZE(bytes) : 0;
  if (head)
    cw_log_text(CW_LOG_ERROR, p, n, "%s %.*s %.*s", what, (int)head->method.len,
                head->method.p, (int)cw_log_target(head->target.p, head->target.len),
                head->target.p);
  else
    cw_log_text(CW_LOG_ERROR, p, n, "%s", what);
  Py_XDECREF(bytes);
  Py_XDECREF(text);
}
