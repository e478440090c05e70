/* SPDX-License-Identifier: MIT */
/* What a trusted proxy says of the client: X-Forwarded-For, -Proto, -Host, -Port,
 * gunicorn's other scheme headers, its SCRIPT_NAME, and Forwarded (RFC 7239). */
#ifndef CW_HTTP_FORWARDED_H
#define CW_HTTP_FORWARDED_H

#include "http/http_internal.h"

/* Whether a trusted proxy may send the field `name` although it has an underscore. */
bool cw_forwarded_allows(const cw_server_t *srv, cw_span_t name);

/* Rewrites peer, scheme, host and port of `req`'s head from its fields. Only for a
 * request whose connection comes from a trusted peer; baton held, before the request is
 * ready. A SCRIPT_NAME is cut off the path. Returns 0 or the status to refuse with: 400
 * where two fields contradict each other or one is malformed, 500 where the path does
 * not begin with SCRIPT_NAME, 503 out of memory. */
CW_MUSTCHECK int cw_forwarded_apply(cw_req_t *req);

#endif
