/* SPDX-License-Identifier: MIT */
/* Shared by the files of asgi/ only. All functions need the GIL and belong to the
 * thread of the event loop. */
#ifndef CW_ASGI_INTERNAL_H
#define CW_ASGI_INTERNAL_H

#include "asgi/asgi.h"
#include "base/list.h"
#include "http/resp.h"
#include "http/ws.h"
#include "wsgi/shared.h"

typedef struct cw_waiter cw_waiter_t;

/* One of the two callables that an app is given. */
typedef struct cw_channel {
  PyObject_HEAD struct cw_call *call; /* NULL: the call is gone */
  vectorcallfunc vectorcall;
  bool websocket; /* of a call that is gone */
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
  bool websocket;     /* of that protocol, not HTTP */
  bool connected;     /* websocket.connect was received */
  bool body_over;     /* receive() has told of the whole body */
  bool started;       /* http.response.start was sent */
  bool trailers;      /* it announced trailers, */
  bool trailing;      /* and all of the body is on its way */
  bool broken;        /* a part of a message was sent: nothing may follow */
  bool lost;          /* send() has said that the client left */
  bool left;          /* receive() has */
  bool overdue;       /* it was cancelled for --request-timeout */
} cw_call_t;

/* What the loop and its host are, from cw_asgi_begin() to cw_asgi_clear(). */
typedef struct cw_asgi {
  const cw_async_host_t *host;
  PyObject *loop, *state;  /* owned */
  PyObject *task_type;     /* asyncio.Task, owned */
  PyObject *task_keywords; /* of its call, owned */
  PyObject *cancelled;     /* asyncio.CancelledError, owned */
  PyObject *helper;        /* the module cwsgi._asgi, owned */
  PyObject *settled;       /* a Future for the end of a request, owned, or NULL */
  int64_t limit;
  int64_t n_requests; /* under way */
  cw_list_t calls;
  /* Ends the request of a coroutine that never goes on. Set by call.c, for the
   * process's life. */
  void (*give_up)(cw_call_t *call);
} cw_asgi_t;
extern cw_asgi_t cw_asgi;

/* Strings that are compared and set all the time; for the process's life. */
#define CW_ASGI_STRINGS(X)                        \
  X(type, "type")                                 \
  X(body, "body")                                 \
  X(more_body, "more_body")                       \
  X(status, "status")                             \
  X(headers, "headers")                           \
  X(trailers, "trailers")                         \
  X(more_trailers, "more_trailers")               \
  X(http_request, "http.request")                 \
  X(http_disconnect, "http.disconnect")           \
  X(websocket_connect, "websocket.connect")       \
  X(websocket_receive, "websocket.receive")       \
  X(websocket_disconnect, "websocket.disconnect") \
  X(text, "text")                                 \
  X(bytes, "bytes")                               \
  X(code, "code")                                 \
  X(reason, "reason")                             \
  X(subprotocol, "subprotocol")                   \
  X(links, "links")                               \
  X(path, "path")                                 \
  X(create_future, "create_future")               \
  X(set_result, "set_result")                     \
  X(done, "done")                                 \
  X(cancel, "cancel")
#define CW_DECLARE(id, text) extern PyObject *cw_s_##id;
CW_ASGI_STRINGS(CW_DECLARE)
#undef CW_DECLARE

/* ---- state.c ----------------------------------------------------------- */

CW_RAISES int cw_state_init(void);

/* ---- scope.c ------------------------------------------------------------------- */

CW_RAISES int cw_scope_init(void);
void cw_scope_clear(void);
/* The scope of a request. */
CW_NEW PyObject *cw_scope_new(const cw_head_t *h, const cw_mount_t *mount,
                              PyObject *state);

/* ---- http.c */

/* Steps of receive(): 1 with *message, 0: not yet, -1 with an exception. */
int cw_http_receive(cw_call_t *call, cw_waiter_t *w, PyObject **message);
/* What is received behind the end. */
CW_NEW PyObject *cw_http_disconnect(void);
/* send(): an awaitable, or NULL. */
CW_NEW PyObject *cw_http_send(cw_call_t *call, PyObject *message);
CW_NEW PyObject *cw_http_start(cw_call_t *call, PyObject *message);
CW_NEW PyObject *cw_http_body(cw_call_t *call, PyObject *message);
/* The response is over; `complete` as for cw_req_finish(). */
void cw_call_finish(cw_call_t *call, bool complete);
/* Whether the client has left: 1, 0: not yet, and the call's waiters are woken when it
 * does, or -1. */
int cw_call_has_left(cw_call_t *call);

/* ---- websocket.c */

int cw_websocket_receive(cw_call_t *call, cw_waiter_t *w, PyObject **message);
CW_NEW PyObject *cw_websocket_send(cw_call_t *call, PyObject *message);
CW_NEW PyObject *cw_websocket_disconnect(int code, cw_span_t reason);
/* Adds what the scope of a WebSocket has besides. */
CW_RAISES int cw_websocket_scope(PyObject *scope, const cw_req_t *req);

/* ---- call.c ---------------------------------------------------------------------- */

CW_RAISES int cw_call_init(PyObject *module);

/* Has Python take receive and send for the coroutine functions that ASGI says they are.
 */
CW_RAISES int cw_call_mark(void);
/* Runs a new request. Never fails: what goes wrong is answered and logged. */
void cw_call_start(cw_req_t *req);
/* What a request that waits has waited for may be here. */
void cw_call_rouse(cw_req_t *req);
void cw_calls_cancel(void);

/* ---- loop.c ---------------------------------------------------------------------- */

CW_RAISES int cw_loop_init(PyObject *module);

#endif
