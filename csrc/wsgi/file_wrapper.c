/* SPDX-License-Identifier: MIT */
/* wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"): sent by
 * sendfile(2) where it wraps a regular file, else an iterator over read(). */
#include <sys/stat.h>

#include "wsgi/wsgi_internal.h"

typedef struct file_wrapper {
  PyObject_HEAD PyObject *filelike;
  Py_ssize_t block;
} file_wrapper_t;

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
  (void)unused;
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

int cw_file_wrapper_file(PyObject *wrapper, int *fd, int64_t *offset, int64_t *len) {
  PyObject *filelike = ((file_wrapper_t *)wrapper)->filelike;
  struct stat st;
  if (!filelike || !PyObject_HasAttrString(filelike, "fileno")) return 0;
  int64_t n = ask(filelike, "fileno");
  if (n < 0 || n > INT32_MAX || fstat((int)n, &st) != 0 || !S_ISREG(st.st_mode))
    return 0;
  /* A wrapper that decrypts or unpacks may pass on the fileno of what it reads: only
   * Python's own file objects are known to give the file's bytes. */
  PyObject *io = PyImport_ImportModule("_io");
  if (!io) return -1;
  static const char *const plain[] = {"BufferedReader", "BufferedRandom", "FileIO"};
  bool known = false;
  for (size_t i = 0; i < CW_ARRAY_LEN(plain) && !known; i++) {
    PyObject *type = PyObject_GetAttrString(io, plain[i]);
    known = type && (PyObject *)Py_TYPE(filelike) == type;
    Py_XDECREF(type);
  }
  Py_DECREF(io);
  if (PyErr_Occurred()) return -1;
  int64_t at = known ? ask(filelike, "tell") : -1;
  if (at < 0) return 0;
  *fd = (int)n;
  *offset = at;
  *len = CW_MAX((int64_t)st.st_size - at, 0);
  return 1;
}
