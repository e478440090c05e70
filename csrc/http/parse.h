/* SPDX-License-Identifier: MIT */
/* From the bytes of a header section to a cw_head_t. Baton holder only. */
#ifndef CW_HTTP_PARSE_H
#define CW_HTTP_PARSE_H

#include <llhttp.h>

#include "http/request.h"

typedef struct cw_parser {
  llhttp_t behind_line; /* behind a request line; copied for each head */
  llhttp_settings_t callbacks;
} cw_parser_t;

/* `parser` must not move afterwards. */
void cw_parse_init(cw_parser_t *parser);

/* Parses the whole header section `p` of `n` bytes (with its empty line) into `req`.
 * The bytes are copied into the request's arena. Returns 0 or the status to refuse the
 * request with; the connection cannot be used further then. */
CW_MUSTCHECK int cw_parse_head(const cw_parser_t *parser, cw_req_t *req, const char *p,
                               size_t n);

/* What can already be said of an incomplete section: 0, or a status to refuse it. */
CW_MUSTCHECK int cw_parse_partial(const cw_limits_t *limits, const char *p, size_t n);

#endif
