/* SPDX-License-Identifier: MIT */
/* environ["gunicorn.socket"] of a request with an Upgrade field: libraries for
 * WebSocket take the connection over by it (simple-websocket, which Flask-Sock and
 * Flask-SocketIO use). It becomes a socket.socket at its first use, and until then
 * costs the request nothing but its place. */
#include <errno.h>
#include <unistd.h>

#include "base/forked.h"
#include "wsgi/wsgi_internal.h"

typedef struct upgrade {
  PyObject_HEAD cw_req_t *req; /* NULL once the request is over */
  PyObject *socket;            /* once it is taken over; owned */
} upgrade_t;

/* Made once, for the process's life. */
static PyTypeObject *upgrade_type;

/* A blocking socket.socket, which closes `fd`. */
static CW_NEW PyObject *socket_of(int fd) {
  PyObject *module = PyImport_ImportModule("socket"), *made = NULL, *set = NULL;
  PyObject *type = module ? PyObject_GetAttrString(module, "socket") : NULL;
  PyObject *args = PyTuple_New(0), *kwargs = Py_BuildValue("{s:i}", "fileno", fd);
  if (type && args && kwargs) made = PyObject_Call(type, args, kwargs);
  if (!made) close(fd);
  if (made) set = PyObject_CallMethod(made, "setblocking", "O", Py_True);
  if (!set) Py_CLEAR(made);
  Py_XDECREF(set);
  Py_XDECREF(kwargs);
  Py_XDECREF(args);
  Py_XDECREF(type);
  Py_XDECREF(module);
  return made;
}

static int take_over(upgrade_t *self) {
  if (cw_forks_check() < 0) return -1;
  if (!self->req) {
    PyErr_SetString(PyExc_ValueError, "gunicorn.socket was used after its request");
    return -1;
  }
  int fd = cw_req_take_over(self->req);
  if (fd < 0) {
    PyErr_SetString(
        PyExc_OSError,
        "the connection cannot be taken over: its response has begun, early hints are "
        "not sent yet, or the client did not wait for the answer");
    return -1;
  }
  self->socket = socket_of(fd);
  return self->socket ? 0 : -1;
}

static PyObject *getattro(PyObject *obj, PyObject *name) {
  upgrade_t *self = (upgrade_t *)obj;
  /* Special names are asked for by whoever looks at environ without using this. */
  if (PyUnicode_GET_LENGTH(name) > 2 && PyUnicode_READ_CHAR(name, 0) == '_')
    return PyObject_GenericGetAttr(obj, name);
  if (!self->socket && take_over(self) < 0) return NULL;
  return PyObject_GetAttr(self->socket, name);
}

static int traverse(PyObject *obj, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(obj));
  Py_VISIT(((upgrade_t *)obj)->socket);
  return 0;
}

static int clear(PyObject *obj) {
  Py_CLEAR(((upgrade_t *)obj)->socket);
  return 0;
}

static void dealloc(PyObject *obj) {
  PyTypeObject *type = Py_TYPE(obj);
  PyObject_GC_UnTrack(obj);
  clear(obj);
  PyObject_GC_Del(obj);
  Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "The connection, for an app that speaks another protocol on it: a "
     "socket.socket from its first use on."},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_getattro, getattro},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "cwsgi._core.UpgradeSocket",
    .basicsize = sizeof(upgrade_t),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int cw_upgrade_init(PyObject *module) {
  upgrade_type = (PyTypeObject *)PyType_FromSpec(&spec);
  if (!upgrade_type) return -1;
  return PyModule_AddObjectRef(module, "UpgradeSocket", (PyObject *)upgrade_type);
}

PyObject *cw_upgrade_new(cw_req_t *req) {
  upgrade_t *self = PyObject_GC_New(upgrade_t, upgrade_type);
  if (!self) return NULL;
  self->req = req;
  self->socket = NULL;
  PyObject_GC_Track(self);
  return (PyObject *)self;
}

void cw_upgrade_detach(PyObject *upgrade) {
  ((upgrade_t *)upgrade)->req = NULL;
}
