/* SPDX-License-Identifier: MIT */
/* The ASGI side of a worker (version 3.0): between coroutines and http/app.h. All of it
 * belongs to the main thread, which runs the event loop, and needs the GIL. */
#ifndef CW_ASGI_ASGI_H
#define CW_ASGI_ASGI_H

#include <stdbool.h>
#include <stdint.h>

#include "http/async.h"
#include "wsgi/python.h"

/* Adds types and functions to the module `_core`. */
CW_RAISES int cw_asgi_init(PyObject *module);

/* Prepares requests, which run as tasks of `loop` with a copy of the dict `state`.
 * `host` is borrowed; `limit`: requests under way, beyond which 503 is answered, 0:
 * any. */
CW_RAISES int cw_asgi_begin(const cw_async_host_t *host, PyObject *loop,
                            PyObject *state, int64_t limit);

/* Whether a request is for an ASGI app. Any thread, no GIL needed. */
bool cw_asgi_is_for(void *data, cw_req_t *req);

/* Runs a request in the loop, which is not running, until its response has ended. */
void cw_asgi_run(void *data, cw_req_t *req);

/* Drops everything. */
void cw_asgi_clear(void);

#endif
