/* SPDX-License-Identifier: MIT */
/* What receive() and send() return: awaitables, and coroutines in the eyes of asyncio,
 * so that they can be tasks as those of other servers. One has its result already, and
 * costs no turn of the loop; the other tries, waits for a Future that
 * cw_waiters_wake() sets, and tries again. */
#include "asgi/waiter.h"

/* Made once, for the process's life. */
static PyTypeObject *ready_type, *waiter_type;
static PyObject *ready_none;

typedef struct ready {
  PyObject_HEAD PyObject *value; /* owned; NULL: taken */
} ready_t;

PyObject *cw_await(PyObject *awaitable) {
  if (CW_LIKELY(PyCoro_CheckExact(awaitable))) return Py_NewRef(awaitable);
  PyAsyncMethods *methods = Py_TYPE(awaitable)->tp_as_async;
  if (methods && methods->am_await) return methods->am_await(awaitable);
  return PyErr_Format(PyExc_TypeError, "an ASGI app returns an awaitable, not %.100s",
                      Py_TYPE(awaitable)->tp_name);
}

/* Raises what .throw(type_or_exception[, value[, traceback]]) was given. */
static void raise_thrown(PyObject *const *args, Py_ssize_t n) {
  PyObject *type = n > 0 ? args[0] : NULL, *value = n > 1 ? args[1] : NULL;
  if (type && PyExceptionInstance_Check(type))
    cw_exc_put(Py_NewRef(type));
  else if (type && PyExceptionClass_Check(type) && value && value != Py_None)
    PyErr_SetObject(type, value);
  else if (type && PyExceptionClass_Check(type))
    PyErr_SetNone(type);
  else
    PyErr_SetString(PyExc_TypeError, "throw() needs an exception");
}

/* Ends an iteration with a value, as a generator does. */
static PyObject *stop_with(PyObject *value) {
  if (value == Py_None) {
    PyErr_SetNone(PyExc_StopIteration);
  } else {
    /* In two steps: a tuple would be taken for the arguments. */
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    if (stop) cw_exc_put(stop);
  }
  Py_DECREF(value);
  return NULL;
}

/* ---- ready ------------------------------------------------------------- */

static PySendResult ready_send(PyObject *obj, PyObject *arg, PyObject **result) {
  ready_t *self = (ready_t *)obj;
  if (CW_UNLIKELY(!self->value)) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    *result = NULL;
    return PYGEN_ERROR;
  }
  *result = self->value;
  if (obj == ready_none)
    Py_INCREF(*result);
  else
    self->value = NULL;
  return PYGEN_RETURN;
}

static PyObject *ready_method_send(PyObject *obj, PyObject *arg) {
  PyObject *value;
  return ready_send(obj, Py_None, &value) == PYGEN_RETURN ? stop_with(value) : NULL;
}

/* What `await` calls from 3.12 on. An iterator that ends without an exception has
 * returned None; raising StopIteration costs more than all the rest here. */
static PyObject *ready_next(PyObject *obj) {
  return obj == ready_none ? NULL : ready_method_send(obj, Py_None);
}

static PyObject *ready_throw(PyObject *obj, PyObject *const *args, Py_ssize_t n) {
  raise_thrown(args, n);
  return NULL;
}

static PyObject *ready_close(PyObject *obj, PyObject *unused) {
  Py_RETURN_NONE;
}

static void ready_dealloc(PyObject *obj) {
  PyTypeObject *type = Py_TYPE(obj);
  Py_XDECREF(((ready_t *)obj)->value);
  PyObject_Free(obj);
  Py_DECREF(type);
}

static PyMethodDef ready_methods[] = {
    {"send", ready_method_send, METH_O, "send(value, /)\n--\n\nAs of a coroutine."},
    {"throw", (PyCFunction)(void (*)(void))ready_throw, METH_FASTCALL,
     "throw(exception, /)\n--\n\nAs of a coroutine."},
    {"close", ready_close, METH_NOARGS, "close()\n--\n\nAs of a coroutine."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot ready_slots[] = {
    {Py_tp_doc, "An awaitable whose result is there."},
    {Py_tp_dealloc, ready_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, ready_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, ready_send},
    {Py_tp_methods, ready_methods},
    {0, NULL},
};

static PyType_Spec ready_spec = {
    .name = "cwsgi._core.Ready",
    .basicsize = sizeof(ready_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = ready_slots,
};

PyObject *cw_ready_new(PyObject *value) {
  if (!value) return NULL;
  ready_t *self = PyObject_New(ready_t, ready_type);
  if (!self) {
    Py_DECREF(value);
    return NULL;
  }
  self->value = value;
  return (PyObject *)self;
}

PyObject *cw_ready_none(void) {
  return Py_NewRef(ready_none);
}

/* ---- waiter ------------------------------------------------------------ */

static void forget_future(cw_waiter_t *w) {
  Py_CLEAR(w->it);
  Py_CLEAR(w->future);
}

/* It is over: nobody wakes it. Others may have waited for its turn to send. */
static void leave(cw_waiter_t *w) {
  cw_call_t *call = w->call;
  bool sent = w->data != NULL;
  w->call = NULL;
  cw_list_remove(&w->node);
  Py_CLEAR(w->data);
  forget_future(w);
  if (call && sent && !cw_list_empty(&call->waiters)) cw_waiters_wake(call);
  Py_XDECREF(call);
}

/* Whether a part of its message was sent, of a chunk its size at least: then the rest
 * has to follow. */
static bool has_begun(const cw_waiter_t *w) {
  const cw_call_t *call = w->call;
  if (w->off > 0) return true;
  return call->req && !cw_waiter_has_to_queue(call, w) &&
         cw_resp_is_in_chunk(call->req);
}

/* It ends without having done what it was for. */
static void give_up(cw_waiter_t *w) {
  if (w->call && w->data && has_begun(w)) w->call->broken = true;
  leave(w);
}

static CW_RAISES int make_future(cw_waiter_t *w) {
  w->future = PyObject_CallMethodNoArgs(cw_asgi.loop, cw_s_create_future);
  if (!w->future) return -1;
  w->it = cw_await(w->future);
  return w->it ? 0 : -1;
}

static PySendResult waiter_send(PyObject *obj, PyObject *arg, PyObject **result) {
  cw_waiter_t *w = (cw_waiter_t *)obj;
  *result = NULL;
  for (;;) {
    if (w->it) {
      PySendResult r = PyIter_Send(w->it, arg, result);
      if (r == PYGEN_NEXT) return r;
      forget_future(w);
      if (r == PYGEN_ERROR) {
        give_up(w);
        return r;
      }
      Py_CLEAR(*result);
    }
    if (!w->call) {
      PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
      return PYGEN_ERROR;
    }
    int rc = w->step(w->call, w, result);
    if (rc > 0) {
      leave(w);
      return PYGEN_RETURN;
    }
    if (rc < 0 || make_future(w) < 0) {
      give_up(w);
      return PYGEN_ERROR;
    }
  }
}

static PyObject *waiter_method_send(PyObject *obj, PyObject *arg) {
  PyObject *value;
  PySendResult r = waiter_send(obj, arg, &value);
  return r == PYGEN_RETURN ? stop_with(value) : value;
}

static PyObject *waiter_next(PyObject *obj) {
  return waiter_method_send(obj, Py_None);
}

static PyObject *waiter_throw(PyObject *obj, PyObject *const *args, Py_ssize_t n) {
  give_up((cw_waiter_t *)obj);
  raise_thrown(args, n);
  return NULL;
}

static PyObject *waiter_close(PyObject *obj, PyObject *unused) {
  give_up((cw_waiter_t *)obj);
  Py_RETURN_NONE;
}

static void waiter_dealloc(PyObject *obj) {
  PyTypeObject *type = Py_TYPE(obj);
  PyObject *pending = cw_exc_take();
  give_up((cw_waiter_t *)obj);
  cw_exc_put(pending);
  PyObject_Free(obj);
  Py_DECREF(type);
}

static PyMethodDef waiter_methods[] = {
    {"send", waiter_method_send, METH_O, "send(value, /)\n--\n\nAs of a coroutine."},
    {"throw", (PyCFunction)(void (*)(void))waiter_throw, METH_FASTCALL,
     "throw(exception, /)\n--\n\nAs of a coroutine."},
    {"close", waiter_close, METH_NOARGS, "close()\n--\n\nAs of a coroutine."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot waiter_slots[] = {
    {Py_tp_doc, "An awaitable that waits for the client."},
    {Py_tp_dealloc, waiter_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, waiter_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, waiter_send},
    {Py_tp_methods, waiter_methods},
    {0, NULL},
};

static PyType_Spec waiter_spec = {
    .name = "cwsgi._core.Waiter",
    .basicsize = sizeof(cw_waiter_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = waiter_slots,
};

PyObject *cw_waiter_new(cw_call_t *call, cw_step_t step, PyObject *data, Py_ssize_t off,
                        bool last) {
  cw_waiter_t *w = PyObject_New(cw_waiter_t, waiter_type);
  if (!w) return NULL;
  w->call = (cw_call_t *)Py_NewRef((PyObject *)call);
  cw_list_push(&call->waiters, &w->node);
  w->step = step;
  w->future = w->it = NULL;
  w->data = Py_XNewRef(data);
  w->off = off;
  w->last = last;
  return (PyObject *)w;
}

bool cw_waiter_has_to_queue(const cw_call_t *call, const cw_waiter_t *w) {
  for (cw_list_t *n = call->waiters.next; n != &call->waiters; n = n->next) {
    const cw_waiter_t *other = CW_CONTAINER(n, cw_waiter_t, node);
    if (other == w) return false;
    if (other->data) return true;
  }
  return false;
}

void cw_waiters_wake(cw_call_t *call) {
  PyObject *pending = cw_exc_take();
  bool failed = false;
  for (cw_list_t *n = call->waiters.next; n != &call->waiters; n = n->next) {
    cw_waiter_t *w = CW_CONTAINER(n, cw_waiter_t, node);
    if (!w->future) continue;
    /* Both only note what is to run in the loop's next round: none of them leaves the
     * list meanwhile. */
    PyObject *done = PyObject_CallMethodNoArgs(w->future, cw_s_done), *r = NULL;
    if (done == Py_False)
      r = PyObject_CallMethodOneArg(w->future, cw_s_set_result, Py_None);
    if (!done || (done == Py_False && !r)) {
      cw_report_exception("Cannot wake a request up", NULL);
      failed = true;
    }
    Py_XDECREF(done);
    Py_XDECREF(r);
  }
  if (failed && call->req) cw_asgi.give_up(call);
  cw_exc_put(pending);
}

CW_COLD int cw_waiter_init(PyObject *module) {
  ready_type = (PyTypeObject *)PyType_FromSpec(&ready_spec);
  waiter_type = (PyTypeObject *)PyType_FromSpec(&waiter_spec);
  if (!ready_type || !waiter_type) return -1;
  ready_none = cw_ready_new(Py_NewRef(Py_None));
  return ready_none ? 0 : -1;
}
