/* SPDX-License-Identifier: MIT */
/* wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"): sent by
 * sendfile(2) where it wraps a regular file, else an iterator over read(). */
#include <sys/stat.h>

#include "wsgi/wsgi_internal.h"

typedef struct file_wrapper {
  PyObject_HEAD PyObject *filelike;
  Py_ssize_t block;
} file_wrapper_t;

/* Made once, for the process's life. */
PyTypeObject *cw_file_wrapper_type;

static int init(PyObject *obj, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"filelike", "blksize", NULL};
  file_wrapper_t *self = (file_wrapper_t *)obj;
  PyObject *filelike;
  Py_ssize_t block = 8192;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n", names, &filelike, &block))
    return -1;
  if (block <= 0) {
    PyErr_SetString(PyExc_ValueError, "the block size has to be positive");
    return -1;
  }
  PyObject *old = self->filelike;
  self->filelike = Py_NewRef(filelike);
  self->block = block;
  Py_XDECREF(old);
  return 0;
}

static PyObject *next(PyObject *obj) {
  file_wrapper_t *self = (file_wrapper_t *)obj;
  if (!self->filelike) return NULL;
  PyObject *data = PyObject_CallMethod(self->filelike, "read", "n", self->block);
  if (!data) return NULL;
  Py_ssize_t len = PyObject_Size(data);
  if (len <= 0) Py_CLEAR(data);
  return data;
}

static PyObject *close_method(PyObject *obj, PyObject *unused) {
  file_wrapper_t *self = (file_wrapper_t *)obj;
  if (self->filelike && cw_close(self->filelike) < 0) return NULL;
  Py_RETURN_NONE;
}

static int traverse(PyObject *obj, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(obj));
  Py_VISIT(((file_wrapper_t *)obj)->filelike);
  return 0;
}

static int clear(PyObject *obj) {
  Py_CLEAR(((file_wrapper_t *)obj)->filelike);
  return 0;
}

static void dealloc(PyObject *obj) {
  PyTypeObject *type = Py_TYPE(obj);
  PyObject_GC_UnTrack(obj);
  clear(obj);
  PyObject_GC_Del(obj);
  Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"close", close_method, METH_NOARGS,
     "close()\n--\n\nCloses the file, if it can be."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "FileWrapper(filelike, blksize=8192)\n--\n\nA file as response (PEP 3333)."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, next},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "cwsgi._core.FileWrapper",
    .basicsize = sizeof(file_wrapper_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int cw_file_wrapper_init(PyObject *module) {
  cw_file_wrapper_type = (PyTypeObject *)PyType_FromSpec(&spec);
  if (!cw_file_wrapper_type) return -1;
  return PyModule_AddObjectRef(module, "FileWrapper", (PyObject *)cw_file_wrapper_type);
}

/* Calls a method without arguments that answers a whole number. Returns -1 without an
 * exception where the object has no such thing to offer. */
static int64_t ask(PyObject *obj, const char *method) {
  PyObject *r = PyObject_CallMethod(obj, method, NULL);
  int64_t n = r ? PyLong_AsLongLong(r) : -1;
  Py_XDECREF(r);
  if (n < 0) PyErr_Clear(); /* BytesIO.fileno raises: it is read instead */
  return n;
}

/* Whether `obj` is just that: 1, 0, or -1 with an exception. */
static int is_exactly(PyObject *obj, PyObject *io, const char *name) {
  PyObject *type = PyObject_GetAttrString(io, name);
  int same = type ? (PyObject *)Py_TYPE(obj) == type : -1;
  Py_XDECREF(type);
  return same;
}

/* Whether reading gives the file's bytes as they are: 1, 0, or -1 with an exception.
 * What decrypts or unpacks may pass on the fileno of what it reads, also from below a
 * buffer: only a plain FileIO is known, alone or under one of Python's own buffers. */
static int gives_plain_bytes(PyObject *filelike) {
  PyObject *io = PyImport_ImportModule("_io"), *raw = NULL;
  int rc = io ? is_exactly(filelike, io, "FileIO") : -1, buffered = 0;
  if (rc == 0) buffered = is_exactly(filelike, io, "BufferedReader");
  if (rc == 0 && buffered == 0) buffered = is_exactly(filelike, io, "BufferedRandom");
  if (buffered < 0) rc = -1;
  if (buffered == 1) {
    raw = PyObject_GetAttrString(filelike, "raw");
    /* A detached buffer has none: it is read, which says so. */
    if (!raw) PyErr_Clear();
    if (raw) rc = is_exactly(raw, io, "FileIO");
  }
  Py_XDECREF(raw);
  Py_XDECREF(io);
  return rc;
}

int cw_file_wrapper_file(PyObject *wrapper, int *fd, int64_t *offset, int64_t *len) {
  PyObject *filelike = ((file_wrapper_t *)wrapper)->filelike;
  struct stat st;
  if (!filelike || !PyObject_HasAttrString(filelike, "fileno")) return 0;
  int64_t n = ask(filelike, "fileno");
  if (n < 0 || n > INT32_MAX || fstat((int)n, &st) != 0 || !S_ISREG(st.st_mode))
    return 0;
  /* Files of /proc and the like say that they are empty, whatever they hold. */
  if (st.st_size == 0) return 0;
  int known = gives_plain_bytes(filelike);
  if (known < 0) return -1;
  int64_t at = known ? ask(filelike, "tell") : -1;
  if (at < 0) return 0;
  *fd = (int)n;
  *offset = at;
  *len = CW_MAX((int64_t)st.st_size - at, 0);
  return 1;
}
