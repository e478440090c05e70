/* SPDX-License-Identifier: MIT */
/* One call of an app: its task, and what its coroutine's end means to the request. */
#include <stddef.h>

#include "asgi/waiter.h"
#include "base/forked.h"
#include "base/log.h"

/* Made once, for the process's life. */
static PyTypeObject *call_type, *receive_type, *send_type;
static PyObject *k_name;

/* ---- the two channels ------------------------------------------------------------ */

static void channel_dealloc(PyObject *obj) {
  PyTypeObject *type = Py_TYPE(obj);
  PyObject_Free(obj);
  Py_DECREF(type);
}

static PyMemberDef channel_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(cw_channel_t, vectorcall), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot receive_slots[] = {
    {Py_tp_doc, "receive()\n--\n\nAn awaitable of the next message (ASGI 3.0)."},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, channel_members},
    {0, NULL},
};
static PyType_Slot send_slots[] = {
    {Py_tp_doc, "send(message)\n--\n\nAn awaitable (ASGI 3.0)."},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, channel_members},
    {0, NULL},
};

enum {
  CHANNEL_FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL |
                  Py_TPFLAGS_DISALLOW_INSTANTIATION
};
static PyType_Spec receive_spec = {.name = "cwsgi._core.Receive",
                                   .basicsize = sizeof(cw_channel_t),
                                   .flags = CHANNEL_FLAGS,
                                   .slots = receive_slots};
static PyType_Spec send_spec = {.name = "cwsgi._core.Send",
                                .basicsize = sizeof(cw_channel_t),
                                .flags = CHANNEL_FLAGS,
                                .slots = send_slots};

static CW_NEW cw_channel_t *channel(PyTypeObject *type, cw_call_t *call,
                                    vectorcallfunc function) {
  cw_channel_t *self = PyObject_New(cw_channel_t, type);
  if (!self) return NULL;
  self->call = call;
  self->websocket = false;
  self->vectorcall = function;
  return self;
}

static PyObject *receive(PyObject *self, PyObject *const *args, size_t nargsf,
                         PyObject *kwnames) {
  cw_call_t *call = ((cw_channel_t *)self)->call;
  if (PyVectorcall_NARGS(nargsf) || (kwnames && PyTuple_GET_SIZE(kwnames)))
    return PyErr_Format(PyExc_TypeError, "receive() takes no arguments");
  if (!call)
    return cw_ready_new(((cw_channel_t *)self)->websocket
                            ? cw_websocket_disconnect(CW_WS_LOST, (cw_span_t){"", 0})
                            : cw_http_disconnect());
  /* Nothing is taken before it is awaited: a task that is cancelled before it runs must
   * not take a message with it. */
  cw_step_t step = call->websocket ? cw_websocket_receive : cw_http_receive;
  return cw_waiter_new(call, step, NULL, 0, false);
}

static PyObject *send(PyObject *self, PyObject *const *args, size_t nargsf,
                      PyObject *kwnames) {
  cw_call_t *call = ((cw_channel_t *)self)->call;
  if (PyVectorcall_NARGS(nargsf) + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) != 1)
    return PyErr_Format(PyExc_TypeError, "send() takes one argument, the message");
  if (!call)
    return PyErr_Format(PyExc_RuntimeError, "send() was called after the app's end");
  return call->websocket ? cw_websocket_send(call, args[0])
                         : cw_http_send(call, args[0]);
}

/* ---- its end ----------------------------------------------------------- */

enum { DEEPEST = 8 };
static bool comes_of_leaving(PyObject *exc, int deep);

/* Of a group (PEP 654, or its backport), whether all in it do. */
static bool all_come_of_leaving(PyObject *exc, int deep) {
  PyObject *members = PyObject_GetAttrString(exc, "exceptions");
  bool all = members && PyTuple_Check(members) && PyTuple_GET_SIZE(members) > 0;
  PyErr_Clear();
  for (Py_ssize_t i = 0; all && i < PyTuple_GET_SIZE(members); i++)
    all = comes_of_leaving(PyTuple_GET_ITEM(members, i), deep);
  Py_XDECREF(members);
  return all;
}

/* Whether an exception comes of ours that says that the client left: frameworks raise
 * their own from it, task groups put it in one. */
static bool comes_of_leaving(PyObject *exc, int deep) {
  if (PyErr_GivenExceptionMatches(exc, cw_client_disconnected)) return true;
  if (deep == 0) return false;
  PyObject *e = PyException_GetCause(exc);
  if (!e) e = PyException_GetContext(exc);
  bool found = e && comes_of_leaving(e, deep - 1);
  Py_XDECREF(e);
  return found || all_come_of_leaving(exc, deep - 1);
}

/* Its response has ended, and its head is another one's by now. */
static void name_request(const cw_call_t *call, char *what, size_t size) {
  PyObject *path = PyDict_GetItemWithError(call->scope, cw_s_path); /* borrowed */
  PyObject *text =
      path ? PyUnicode_AsEncodedString(path, "ascii", "backslashreplace") : NULL;
  PyErr_Clear();
  snprintf(what, size, "Error after the response to %.400s",
           text ? PyBytes_AS_STRING(text) : "?");
  Py_XDECREF(text);
}

/* Says what went wrong, once, and clears it. A client that left is no error of the
 * app, and who was cancelled knows. */
static void report(cw_call_t *call, const cw_head_t *head) {
  PyObject *exc = cw_exc_take();
  if (PyErr_GivenExceptionMatches(exc, cw_asgi.cancelled)) {
    Py_DECREF(exc);
    return;
  }
  if (call->lost && comes_of_leaving(exc, DEEPEST)) {
    if (head)
      cw_log(CW_LOG_DEBUG, "%s:%s: client left during %.*s %.*s", head->peer_addr,
             head->peer_port, (int)head->method.len, head->method.p,
             (int)cw_log_target(head->target.p, head->target.len), head->target.p);
    Py_DECREF(exc);
    return;
  }
  char what[512] = "Error handling request";
  if (!head) name_request(call, what, sizeof(what));
  cw_exc_put(exc);
  cw_report_exception(what, head);
}

/* What it did not do, though it has returned. */
static void report_missing(const cw_call_t *call, const cw_head_t *h) {
  cw_log(CW_LOG_ERROR, "%.*s %.*s: the app returned %s", (int)h->method.len,
         h->method.p, (int)cw_log_target(h->target.p, h->target.len), h->target.p,
         call->started ? "before its response was complete" : "without a response");
}

/* Ends its request before its response has ended. */
static void finish(cw_call_t *call, bool well) {
  if (call->started && !cw_resp_sent(call->req)) cw_resp_cancel(call->req);
  cw_call_finish(call, well);
}

static void give_up(cw_call_t *call) {
  finish(call, false);
}

/* The coroutine has ended, with an exception or without. */
static void end(cw_call_t *call) {
  const cw_async_host_t *host = cw_asgi.host;
  const cw_head_t *head = call->req ? cw_req_head(call->req) : NULL;
  bool well = !PyErr_Occurred();
  /* The task has the call, too: neither would end. */
  PyObject *task = call->task;
  call->task = NULL;
  if (!well)
    report(call, head);
  else if (head && !call->lost && !call->left && !cw_ws_is_accepted(call->req))
    report_missing(call, head);
  if (call->req) finish(call, well && cw_ws_is_accepted(call->req));
  if (call->patience) {
    PyObject *r = PyObject_CallMethodNoArgs(call->patience, cw_s_cancel);
    if (!r) cw_report_exception("Cannot cancel a timer", NULL);
    Py_XDECREF(r);
    Py_CLEAR(call->patience);
  }
  if (!cw_list_empty(&call->all)) {
    cw_list_remove(&call->all);
    host->ended(host->data);
  }
  Py_XDECREF(task);
}

/* ---- the awaitable that its task runs ---------------------------------- */

/* Runs the coroutine until it waits; what it raises stays here. */
static PySendResult call_send(PyObject *obj, PyObject *arg, PyObject **result) {
  cw_call_t *call = (cw_call_t *)obj;
  const cw_async_host_t *host = cw_asgi.host;
  *result = NULL;
  if (!call->coro) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    return PYGEN_ERROR;
  }
  host->note(host->data, call->req);
  PySendResult r = PyIter_Send(call->coro, arg, result);
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
  if (r == PYGEN_NEXT) {
    if (call->req) host->paused(host->data, call->req);
    return r;
  }
  Py_CLEAR(call->coro);
  Py_XDECREF(*result);
  end(call);
  *result = Py_NewRef(Py_None);
  return PYGEN_RETURN;
}

static PyObject *after_step(PySendResult r, PyObject *value) {
  if (r != PYGEN_RETURN) return value;
  Py_XDECREF(value);
  PyErr_SetNone(PyExc_StopIteration);
  return NULL;
}

static PyObject *call_method_send(PyObject *obj, PyObject *arg) {
  PyObject *value;
  PySendResult r = call_send(obj, arg, &value);
  return after_step(r, value);
}

static PyObject *call_next(PyObject *obj) {
  return call_method_send(obj, Py_None);
}

/* Cancelling, first of all. */
static PyObject *call_throw(PyObject *obj, PyObject *const *args, Py_ssize_t n) {
  cw_call_t *call = (cw_call_t *)obj;
  PyObject *value = NULL, *name;
  if (!call->coro || n == 0)
    return PyErr_Format(PyExc_RuntimeError, "nothing to throw an exception into");
  bool cancels = PyErr_GivenExceptionMatches(args[0], cw_asgi.cancelled);
  name = PyUnicode_FromString("throw");
  if (name) {
    PyObject *all[4] = {call->coro};
    for (Py_ssize_t i = 0; i < CW_MIN(n, (Py_ssize_t)3); i++) all[i + 1] = args[i];
    value = PyObject_VectorcallMethod(name, all, (size_t)CW_MIN(n, (Py_ssize_t)3) + 1,
                                      NULL);
    Py_DECREF(name);
  }
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
  if (value) return value;
  Py_CLEAR(call->coro);
  bool cancelled = cancels && PyErr_ExceptionMatches(cw_asgi.cancelled);
  if (PyErr_ExceptionMatches(PyExc_StopIteration)) PyErr_Clear();
  end(call);
  PyErr_SetNone(cancelled ? cw_asgi.cancelled : PyExc_StopIteration);
  return NULL;
}

static PyObject *call_close(PyObject *obj, PyObject *unused) {
  cw_call_t *call = (cw_call_t *)obj;
  if (!call->coro) Py_RETURN_NONE;
  PyObject *coro = call->coro;
  call->coro = NULL;
  PyObject *r = PyObject_CallMethod(coro, "close", NULL);
  Py_DECREF(coro);
  Py_XDECREF(r);
  end(call);
  Py_RETURN_NONE;
}

static PyObject *call_wake(PyObject *obj, PyObject *unused) {
  cw_call_t *call = (cw_call_t *)obj;
  Py_CLEAR(call->patience);
  cw_waiters_wake(call);
  Py_RETURN_NONE;
}

/* What debuggers ask a coroutine for: its name, its frame. */
static PyObject *call_getattro(PyObject *obj, PyObject *name) {
  PyObject *value = PyObject_GenericGetAttr(obj, name);
  PyObject *coro = ((cw_call_t *)obj)->coro;
  if (value || !coro || !PyErr_ExceptionMatches(PyExc_AttributeError)) return value;
  PyErr_Clear();
  return PyObject_GetAttr(coro, name);
}

static void call_dealloc(PyObject *obj) {
  cw_call_t *call = (cw_call_t *)obj;
  PyTypeObject *type = Py_TYPE(obj);
  PyObject *pending = cw_exc_take();
  if (call->coro) {
    /* A task that is dropped before its end; its frame still has the channels. */
    Py_SET_REFCNT(obj, 1);
    PyObject *r = call_close(obj, NULL);
    Py_XDECREF(r);
    Py_SET_REFCNT(obj, 0);
  }
  assert(cw_list_empty(&call->waiters)); /* each has a reference */
  if (call->receive) {
    call->receive->call = NULL;
    call->receive->websocket = call->websocket;
  }
  if (call->send) call->send->call = NULL;
  Py_XDECREF(call->receive);
  Py_XDECREF(call->send);
  Py_XDECREF(call->scope);
  Py_XDECREF(call->task);
  Py_XDECREF(call->patience);
  cw_exc_put(pending);
  PyObject_Free(obj);
  Py_DECREF(type);
}

static PyMethodDef call_methods[] = {
    {"send", call_method_send, METH_O, "send(value, /)\n--\n\nAs of a coroutine."},
    {"throw", (PyCFunction)(void (*)(void))call_throw, METH_FASTCALL,
     "throw(exception, /)\n--\n\nAs of a coroutine."},
    {"close", call_close, METH_NOARGS, "close()\n--\n\nAs of a coroutine."},
    {"_wake", call_wake, METH_NOARGS, "_wake()\n--\n\nHas all that waits try again."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "What a request's task runs: the coroutine of its app."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_getattro, call_getattro},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, call_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, call_send},
    {Py_tp_methods, call_methods},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "cwsgi._core.Call",
    .basicsize = sizeof(cw_call_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};

/* ---- its begin --------------------------------------------------------- */

static CW_NEW cw_call_t *new_call(cw_req_t *req) {
  cw_call_t *call = PyObject_New(cw_call_t, call_type);
  if (!call) return NULL;
  call->req = req;
  call->coro = call->scope = call->task = call->patience = NULL;
  call->receive = call->send = NULL;
  cw_list_init(&call->all);
  cw_list_init(&call->waiters);
  call->websocket = call->connected = false;
  call->trailers = call->trailing = false;
  call->body_over = call->started = call->broken = call->overdue = false;
  call->lost = call->left = false;
  call->receive = channel(receive_type, call, receive);
  if (call->receive) call->send = channel(send_type, call, send);
  if (call->send) return call;
  Py_DECREF(call);
  return NULL;
}

/* asyncio.Task(call, loop=, name=[, eager_start=True]). The keywords are kept: making a
 * dict of them each time costs as much as the rest of the task. */
static CW_NEW PyObject *make_task(cw_call_t *call, PyObject *name) {
  if (PyDict_SetItem(cw_asgi.task_keywords, k_name, name) < 0) return NULL;
  PyObject *args = PyTuple_Pack(1, call);
  PyObject *task =
      args ? PyObject_Call(cw_asgi.task_type, args, cw_asgi.task_keywords) : NULL;
  Py_XDECREF(args);
  return task;
}

/* Calls the app, and has what it returns run. Returns 0, or -1 with an exception where
 * nothing runs. */
static CW_RAISES int begin(cw_call_t *call, const cw_mount_t *mount) {
  const cw_async_host_t *host = cw_asgi.host;
  PyObject *scope = cw_scope_new(cw_req_head(call->req), mount, cw_asgi.state);
  if (!(call->scope = scope)) return -1;
  if (call->websocket && cw_websocket_scope(scope, call->req) < 0) return -1;
  PyObject *args[] = {NULL, scope, (PyObject *)call->receive, (PyObject *)call->send};
  host->note(host->data, call->req);
  PyObject *r = PyObject_Vectorcall(mount->app, args + 1,
                                    3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
  if (CW_UNLIKELY(cw_forked_child)) cw_forks_end();
  call->coro = r ? cw_await(r) : NULL;
  Py_XDECREF(r);
  if (call->coro) {
    PyObject *name = PyDict_GetItemWithError(scope, cw_s_path); /* borrowed */
    cw_list_push(&cw_asgi.calls, &call->all);
    host->called(host->data, call->req);
    PyObject *task = make_task(call, name ? name : Py_None);
    /* It may have ended by now. */
    if (task && call->coro)
      call->task = Py_NewRef(task);
    else if (!task && call->coro)
      Py_CLEAR(call->coro);
    Py_XDECREF(task);
  }
  return PyErr_Occurred() ? -1 : 0;
}

enum { ANSWERED = -1 };

/* Ends a request that no app is called for: with this status, ANSWERED where it has its
 * answer, or 0 where the loop has given it. */
static void refuse(cw_req_t *req, int status) {
  const cw_async_host_t *host = cw_asgi.host;
  if (status > 0) cw_resp_error(req, status);
  cw_req_end_async(req, host->unlist, host->data);
  cw_req_finish(req, status != 0);
  host->served(host->data);
}

void cw_call_start(cw_req_t *req) {
  const cw_mount_t *mount;
  if (cw_req_expired(req)) {
    refuse(req, 0);
    return;
  }
  if (cw_asgi.limit && cw_asgi.n_requests >= cw_asgi.limit) {
    refuse(req, 503);
    return;
  }
  if (!(mount = cw_mount_find(cw_req_head(req)->path))) {
    refuse(req, 404);
    return;
  }
  cw_call_t *call = new_call(req);
  if (!call) {
    cw_report_exception("Error handling request", cw_req_head(req));
    refuse(req, 500);
    return;
  }
  if (CW_UNLIKELY(cw_req_head(req)->upgrade)) {
    if (cw_ws_refuse(req)) {
      Py_DECREF(call);
      refuse(req, ANSWERED);
      return;
    }
    call->websocket = cw_req_is_websocket(req);
  }
  cw_asgi.n_requests++;
  cw_req_set_owner(req, call);
  if (begin(call, mount) < 0) end(call);
  Py_DECREF(call);
}

static void drop_task(cw_call_t *call) {
  PyObject *r = call->task ? PyObject_CallMethodNoArgs(call->task, cw_s_cancel) : NULL;
  if (call->task && !r) cw_report_exception("Cannot cancel a request", NULL);
  Py_XDECREF(r);
}

/* --request-timeout: what it is doing goes to the log, and it is cancelled. */
static void cancel_overdue(cw_call_t *call) {
  call->overdue = true;
  PyObject *text = PyObject_CallMethod(cw_asgi.helper, "stack_of", "O", call->task);
  const char *p = text ? PyUnicode_AsUTF8(text) : NULL;
  PyErr_Clear();
  cw_log_text(CW_LOG_ERROR, p, p ? strlen(p) : 0,
              "REQUEST TIMEOUT: cancelling the task at");
  Py_XDECREF(text);
  drop_task(call);
}

void cw_call_rouse(cw_req_t *req) {
  cw_call_t *call = cw_req_owner(req);
  if (!call) return;
  Py_INCREF(call);
  if (cw_req_overdue(req) && !call->overdue && call->task) cancel_overdue(call);
  cw_waiters_wake(call);
  Py_DECREF(call);
}

void cw_calls_cancel(void) {
  unsigned n = 0;
  for (cw_list_t *node = cw_asgi.calls.next; node != &cw_asgi.calls;
       node = node->next) {
    /* It runs in a later round of the loop: nothing leaves the list here. */
    drop_task(CW_CONTAINER(node, cw_call_t, all));
    n++;
  }
  if (n) cw_log(CW_LOG_WARNING, "graceful timeout: %u requests cancelled", n);
}

CW_COLD int cw_call_init(PyObject *module) {
  cw_asgi.give_up = give_up;
  call_type = (PyTypeObject *)PyType_FromSpec(&call_spec);
  receive_type = (PyTypeObject *)PyType_FromSpec(&receive_spec);
  send_type = (PyTypeObject *)PyType_FromSpec(&send_spec);
  k_name = PyUnicode_InternFromString("name");
  return call_type && receive_type && send_type && k_name ? 0 : -1;
}

int cw_call_mark(void) {
  PyObject *r = PyObject_CallMethod(cw_asgi.helper, "mark_coroutine_functions", "OO",
                                    receive_type, send_type);
  Py_XDECREF(r);
  return r ? 0 : -1;
}
