/* SPDX-License-Identifier: MIT */
/* What an app sends. As asgi_internal.h: the GIL, the loop's thread. */
#ifndef CW_ASGI_MESSAGE_H
#define CW_ASGI_MESSAGE_H

#include "asgi/asgi_internal.h"

/* One of a protocol's messages. `seen` is the very object that came last as its type:
 * string constants of an app are the same ones each time. */
typedef struct cw_message_kind {
  const char *name;
  PyObject *(*handle)(cw_call_t *call, PyObject *message);
  PyObject *seen; /* owned, for the process's life */
} cw_message_kind_t;
/* Has it handled. An awaitable, or NULL. */
CW_NEW PyObject *cw_message_handle(cw_message_kind_t *kinds, size_t n, cw_call_t *call,
                                   PyObject *message);
/* A key of a message, or NULL without an exception where it has none; the message holds
 * it. */
CW_BORROWED PyObject *cw_message_get(PyObject *message, PyObject *key);
/* Calls `fn` for each header; what it is given lives as long as `headers`. */
typedef int (*cw_field_fn_t)(void *data, PyObject *pair, const cw_field_t *f);
CW_RAISES int cw_message_fields(PyObject *headers, cw_field_fn_t fn, void *data);

#endif
