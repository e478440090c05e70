/* SPDX-License-Identifier: MIT */
/* The loop's half of a request's body. Baton held; the thread's half is in app.h. */
#ifndef CW_HTTP_BODY_H
#define CW_HTTP_BODY_H

#include "http/request.h"

/* What becomes of body bytes. */
typedef enum cw_body_use {
  CW_BODY_GATHER, /* kept until the request runs */
  CW_BODY_STREAM, /* kept for the thread that runs it, which may be slow */
  CW_BODY_SKIP,   /* nobody wants them */
} cw_body_use_t;

/* Feeds received bytes to the open body. Returns how many were used, fewer than `n`
 * only at the body's end. *status is set where the body cannot go on: the framing is
 * broken (400), it is too long (413), there is no memory for it (503). */
size_t cw_body_feed(cw_req_t *req, const char *p, size_t n, cw_body_use_t use,
                    int *status);

/* Has the body keep the block that it came in, from `p` to its end. */
void cw_body_keep_block(cw_req_t *req, char *block, const char *p);

/* Gives the memory of the body back. */
void cw_body_free(cw_req_t *req);

/* A chunked body is complete before its request runs: from here on it is one with a
 * Content-Length (RFC 9112 section 7.1.3), which frameworks look for. Where memory is
 * short nothing changes. */
void cw_body_set_length(cw_req_t *req);

/* Has a running thread learn that the body cannot go on. `why` is static text. */
void cw_body_break(cw_req_t *req, int status, const char *why);

/* A window of so many ms in which more of the body was waited for is over, and bytes
 * `moved` or not. Returns NULL, or why it is given up. */
const char *cw_body_too_slow(cw_req_t *req, uint32_t window, bool moved);

/* Whether more of the body is to come. */
static inline bool cw_body_open(const cw_req_t *req) {
  /* Both are written by the loop alone: no lock to read them. */
  return !req->body.complete && !req->body.broken;
}

#endif
