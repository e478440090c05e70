/* SPDX-License-Identifier: MIT */
/* Shared by the files of asgi/ only. All functions need the GIL and belong to the
 * thread of the event loop. */
#ifndef CW_ASGI_INTERNAL_H
#define CW_ASGI_INTERNAL_H

#include "asgi/asgi.h"
#include "base/list.h"
#include "http/resp.h"
#include "wsgi/shared.h"

typedef struct cw_waiter cw_waiter_t;

/* One of the two callables that an app is given. */
typedef struct cw_channel {
  PyObject_HEAD struct cw_call *call; /* NULL: the call is gone */
  vectorcallfunc vectorcall;
} cw_channel_t;

/* A call of an app: what its task runs. It is an awaitable that passes everything on to
 * the app's coroutine, and notices its end. */
typedef struct cw_call {
  PyObject_HEAD cw_req_t *req; /* NULL: the response has ended */
  PyObject *coro;              /* the app's, owned; NULL: it has ended */
  PyObject *scope;             /* owned */
  PyObject *task;              /* owned while it runs: asyncio itself does not */
  cw_channel_t *receive, *send;
  cw_list_t all;      /* of every call whose coroutine has not ended */
  cw_list_t waiters;  /* in the order of their begin */
  PyObject *patience; /* the timer of a half-closed connection, owned, or NULL */
  bool body_over;     /* receive() has told of the whole body */
  bool started;       /* http.response.start was sent */
  bool broken;        /* a part of a message was sent: nothing may follow */
  bool lost;          /* send() has said that the client left */
  bool overdue;       /* it was cancelled for --request-timeout */
} cw_call_t;

/* What the loop and its host are, from cw_asgi_begin() to cw_asgi_clear(). */
typedef struct cw_asgi {
  const cw_async_host_t *host;
  PyObject *loop, *state; /* owned */
  PyObject *task_type;    /* asyncio.Task, owned */
  PyObject *cancelled;    /* asyncio.CancelledError, owned */
  PyObject *helper;       /* the module cwsgi._asgi, owned */
  PyObject *settled;      /* a Future for the end of a request, owned, or NULL */
  int64_t limit;
  int64_t n_requests; /* under way */
  cw_list_t calls;
} cw_asgi_t;
extern cw_asgi_t cw_asgi;

/* Strings that are compared and set all the time; for the process's life. */
#define CW_ASGI_STRINGS(X)              \
  X(type, "type")                       \
  X(body, "body")                       \
  X(more_body, "more_body")             \
  X(status, "status")                   \
  X(headers, "headers")                 \
  X(http_request, "http.request")       \
  X(http_disconnect, "http.disconnect") \
  X(links, "links")                     \
  X(path, "path")                       \
  X(create_future, "create_future")     \
  X(set_result, "set_result")           \
  X(done, "done")                       \
  X(cancel, "cancel")
#define CW_DECLARE(id, text) extern PyObject *cw_s_##id;
CW_ASGI_STRINGS(CW_DECLARE)
#undef CW_DECLARE

/* ---- state.c ----------------------------------------------------------------------
 */

CW_RAISES int cw_state_init(void);

/* ---- scope.c ------------------------------------------------------------------- */

CW_RAISES int cw_scope_init(void);
void cw_scope_clear(void);
/* The scope of a request. */
CW_NEW PyObject *cw_scope_new(const cw_head_t *h, const cw_mount_t *mount,
                              PyObject *state);

/* ---- waiter.c: what receive() and send() return ------------------------------------
 */

CW_RAISES int cw_waiter_init(PyObject *module);
/* An awaitable whose result is here: `value`, or None that is always the same one. */
CW_NEW CW_STEALS(1) PyObject *cw_ready_new(PyObject *value);
CW_NEW PyObject *cw_ready_none(void);
/* One that tries `step` until it does not return 0. */
typedef int (*cw_step_t)(cw_call_t *call, cw_waiter_t *w, PyObject **result);
CW_NEW PyObject *cw_waiter_new(cw_call_t *call, cw_step_t step, PyObject *data,
                               Py_ssize_t off, bool last);
struct cw_waiter {
  PyObject_HEAD cw_call_t *call; /* NULL: it is over */
  cw_list_t node;                /* of call->waiters */
  cw_step_t step;
  PyObject *future, *it; /* owned, while it waits */
  PyObject *data;        /* what is to be sent, owned; NULL: it receives */
  Py_ssize_t off;        /* bytes of it that were sent */
  bool last;
};
/* Has all of a call's try again. */
void cw_waiters_wake(cw_call_t *call);
/* The call is gone: they end. */
void cw_waiters_detach(cw_call_t *call);
/* Whether another one, begun earlier, still sends. */
bool cw_waiter_has_to_queue(const cw_call_t *call, const cw_waiter_t *w);

/* ---- http.c: receive() and send() of HTTP
 * -------------------------------------------- */

PyObject *cw_http_receive(PyObject *self, PyObject *const *args, size_t nargsf,
                          PyObject *kwnames);
PyObject *cw_http_send(PyObject *self, PyObject *const *args, size_t nargsf,
                       PyObject *kwnames);
/* The response is over; `complete` as for cw_req_finish(). */
void cw_call_finish(cw_call_t *call, bool complete);

/* ---- call.c ---------------------------------------------------------------------- */

CW_RAISES int cw_call_init(PyObject *module);
/* Runs a new request. Never fails: what goes wrong is answered and logged. */
void cw_call_start(cw_req_t *req);
/* What a request that waits has waited for may be here. */
void cw_call_rouse(cw_req_t *req);
void cw_calls_cancel(void);

/* ---- loop.c ---------------------------------------------------------------------- */

CW_RAISES int cw_loop_init(PyObject *module);

#endif
