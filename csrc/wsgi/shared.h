/* SPDX-License-Identifier: MIT */
/* What both kinds of apps need of wsgi/: mounts, errors, forks. Every function needs
 * the GIL, except where a comment says otherwise. */
#ifndef CW_WSGI_SHARED_H
#define CW_WSGI_SHARED_H

#include "http/app.h"
#include "wsgi/python.h"

/* Which application answers. */
typedef struct cw_mount {
  size_t len; /* of the prefix in bytes */
  PyObject *script_name, *app;
  bool async; /* it is an ASGI app */
} cw_mount_t;
/* The application for a decoded path, or NULL. Borrowed; any thread. */
const cw_mount_t *cw_mount_find(cw_span_t path);
/* The i-th of all, longest prefix first; NULL: no more. */
const cw_mount_t *cw_mount_at(unsigned i);
/* Where the app is: what the proxy has cut off (`proxy`, perhaps empty), then the
 * mount's prefix. */
CW_NEW PyObject *cw_mount_script_name(const cw_mount_t *mount, cw_span_t proxy);

/* What a proxy has cut off in front of a path: what it says (`proxy`), or --root-path.
 * Borrowed; any thread. */
cw_span_t cw_mount_root(cw_span_t proxy);

/* ClientDisconnected, a ConnectionError. */
extern PyObject *cw_client_disconnected;
/* Raises what a negative cw_result_t of a response stands for; returns -1. */
int cw_send_raise(int rc);

/* Reports the current exception, clears it. `what` opens the log line. */
void cw_report_exception(const char *what, const cw_head_t *head);

/* The request's thread is in a process that the app forked, where it has come back from
 * the app: ends it. A current exception tells how. */
CW_NORETURN void cw_forks_end(void);

#endif
