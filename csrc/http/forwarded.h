/* SPDX-License-Identifier: MIT */
/* What a trusted proxy says of the client: its scheme, gunicorn's SCRIPT_NAME and, of
 * X-Forwarded-For, -Host, -Port and Forwarded (RFC 7239), what the settings name: a
 * proxy may pass on what a client sent in the others. */
#ifndef CW_HTTP_FORWARDED_H
#define CW_HTTP_FORWARDED_H

#include "http/request.h"

/* Whether a trusted proxy may send the field `name` although it has an underscore. */
bool cw_forwarded_allows(const cw_limits_t *limits, cw_span_t name);

/* Rewrites peer, scheme, host and port of `req`'s head from the fields that count. Only
 * for a request whose connection comes from a trusted peer; baton held, before the
 * request is ready. A SCRIPT_NAME is cut off the path. Returns 0 or the status to
 * refuse with: 400 where two fields contradict each other or one is malformed, 500
 * where the path does not begin with SCRIPT_NAME, 503 out of memory. */
CW_MUSTCHECK int cw_forwarded_apply(cw_req_t *req);

/* Takes fields of this kind that do not count out of the head: of an untrusted peer
 * all, of a trusted one those that the settings do not name. Baton held, as above. */
void cw_forwarded_clear(cw_req_t *req);

/* When the proxy says that it got the request (X-Request-Start, of Heroku and others:
 * seconds with a fraction, or milli-, micro- or nanoseconds, "t=" in front or not), in
 * us of the wall clock. 0 where it says nothing, or is not trusted. */
int64_t cw_forwarded_start(const cw_req_t *req);

#endif
