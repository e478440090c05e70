/* SPDX-License-Identifier: MIT */
/* Counting and logging what was answered. For http/ only. Baton holder, except where a
 * comment says otherwise. */
#ifndef CW_HTTP_ACCOUNT_H
#define CW_HTTP_ACCOUNT_H

#include "http/http_internal.h"

/* Logged and counted where the client left before it was answered; nginx's number. */
enum { CW_STATUS_LEFT = 499 };

/* Opens what the limits ask for. Returns 0, or -1 with the reason in `err`; what was
 * opened is closed by cw_account_fini(). */
CW_MUSTCHECK int cw_account_init(cw_server_t *srv, char *err, size_t err_len);
void cw_account_fini(cw_server_t *srv);

/* A request has been answered or given up. A second call for it does nothing. */
void cw_account_once(cw_req_t *req);

/* The same for one whose head could not be read; `line` is what came of its first line.
 */
void cw_account_refused(cw_conn_t *c, int status, cw_span_t line);

/* Sends and writes what was collected. At the end of a turn, and before it waits. */
void cw_account_flush(cw_server_t *srv);

/* Keeps the response fields that the access log wants. The thread that runs the
 * request, with a complete head in req->resp.head. */
void cw_account_note_fields(cw_req_t *req);

#endif
