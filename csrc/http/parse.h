/* SPDX-License-Identifier: MIT */
/* From the bytes of a header section to a cw_head_t. Baton holder only. */
#ifndef CW_HTTP_PARSE_H
#define CW_HTTP_PARSE_H

#include "http/http_internal.h"

/* Prepares the server's llhttp parser. */
void cw_parse_init(cw_server_t *srv);

/* Parses the whole header section `p` of `n` bytes (with its empty line) into `req`.
 * The bytes are copied into the request's arena. Returns 0 or the status to refuse the
 * request with; the connection cannot be used further then. */
CW_MUSTCHECK int cw_parse_head(cw_req_t *req, const char *p, size_t n);

/* What can already be said of an incomplete section: 0, or a status to refuse it. */
CW_MUSTCHECK int cw_parse_partial(const cw_limits_t *limits, const char *p, size_t n);

#endif
