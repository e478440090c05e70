/* SPDX-License-Identifier: MIT */
/* Sending body bytes from Python. */
#include "wsgi/wsgi_internal.h"

enum {
  COPY_WITH_GIL = 64 * 1024 /* larger writes let other threads run meanwhile */
};

/* Made once, for the process's life. */
PyObject *cw_client_disconnected;

/* One attempt to send, with the GIL released where it takes long. */
static int try_write(cw_req_t *req, const char *p, size_t n, bool last, size_t *taken) {
  int rc;
  if (n < COPY_WITH_GIL) return cw_resp_write(req, p, n, last, taken);
  Py_BEGIN_ALLOW_THREADS
  rc = cw_resp_write(req, p, n, last, taken);
  Py_END_ALLOW_THREADS
  return rc;
}

int cw_send_raise(int rc) {
  if (rc == CW_LOST)
    PyErr_SetString(cw_client_disconnected,
                    "the client left before the response was sent");
  else if (rc == CW_NOMEM)
    PyErr_NoMemory();
  else
    PyErr_SetString(PyExc_AssertionError,
                    "a body came before start_response was called");
  return -1;
}

int cw_send_bytes(cw_req_t *req, const char *p, size_t n, bool last) {
  for (;;) {
    size_t taken;
    int rc = try_write(req, p, n, last, &taken);
    if (rc == CW_OK) return 0;
    if (rc != CW_WAIT) return cw_send_raise(rc);
    p += taken;
    n -= taken;
    Py_BEGIN_ALLOW_THREADS
    cw_req_wait_nogil(req);
    Py_END_ALLOW_THREADS
  }
}

int cw_send_item(cw_req_t *req, PyObject *item, bool last) {
  if (!PyBytes_Check(item)) {
    PyErr_Format(PyExc_TypeError, "a response body must be bytes, not %.100s",
                 Py_TYPE(item)->tp_name);
    return -1;
  }
  size_t n = (size_t)PyBytes_GET_SIZE(item);
  /* PEP 3333: the head waits for the first byte of body, or for the end. */
  if (n == 0 && !last) return cw_req_abandoned(req) ? cw_send_raise(CW_LOST) : 0;
  return cw_send_bytes(req, PyBytes_AS_STRING(item), n, last);
}

int cw_send_init(PyObject *module) {
  cw_client_disconnected = PyErr_NewExceptionWithDoc(
      "cwsgi.ClientDisconnected",
      "The client left while its request was read or its response sent.",
      PyExc_ConnectionError, NULL);
  if (!cw_client_disconnected) return -1;
  return PyModule_AddObjectRef(module, "ClientDisconnected", cw_client_disconnected);
}
