/* SPDX-License-Identifier: MIT */
/* What receive() and send() return. As asgi_internal.h: the GIL, the loop's thread. */
#ifndef CW_ASGI_WAITER_H
#define CW_ASGI_WAITER_H

#include "asgi/asgi_internal.h"

CW_RAISES int cw_waiter_init(PyObject *module);
/* What `await` iterates over. */
CW_NEW PyObject *cw_await(PyObject *awaitable);
/* An awaitable whose result is here: `value`, or None that is always the same one. */
CW_NEW CW_STEALS(1) PyObject *cw_ready_new(PyObject *value);
CW_NEW PyObject *cw_ready_none(void);
/* One that tries `step` until it does not return 0. */
typedef int (*cw_step_t)(cw_call_t *call, cw_waiter_t *w, PyObject **result);
CW_NEW PyObject *cw_waiter_new(cw_call_t *call, cw_step_t step, PyObject *data,
                               Py_ssize_t off, bool last);
struct cw_waiter {
  PyObject_HEAD cw_call_t *call; /* owned; NULL: it is over */
  cw_list_t node;                /* of call->waiters */
  cw_step_t step;
  PyObject *future, *it; /* owned, while it waits */
  PyObject *data;        /* what is to be sent, owned; NULL: it receives */
  Py_ssize_t off;        /* bytes of it that were sent */
  bool last;
};
/* Has all of a call's try again. Where there is no memory for that, said, one of them
 * may never go on: its request ends, so that the client at least does not wait. */
void cw_waiters_wake(cw_call_t *call);
/* Whether another one, begun earlier, still sends. */
bool cw_waiter_has_to_queue(const cw_call_t *call, const cw_waiter_t *w);

#endif
