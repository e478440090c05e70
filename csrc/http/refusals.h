/* SPDX-License-Identifier: MIT */
/* Refused requests in the error log. Baton holder only. */
#ifndef CW_HTTP_REFUSALS_H
#define CW_HTTP_REFUSALS_H

#include "http/conn.h"

/* Logs that a request is refused with `status`, for `why` (NULL: the status says it
 * all). `req` may be NULL: then `head` is what came of a head that cannot be read. At
 * most one line a second for each worker; a line tells how many others there were. */
void cw_refusal_log(const cw_conn_t *c, const cw_req_t *req, int status,
                    const char *why, cw_span_t head);

/* The last of them, that no line has told of yet. */
void cw_refusals_end(cw_server_t *srv);

#endif
