/* SPDX-License-Identifier: MIT */
/* Bytes on their way to the socket. The running thread sends first; what is left over
 * is the loop's. One of the two sends at a time: the thread only while `out` is empty,
 * the loop only under req->lock. */
#ifndef CW_HTTP_OUT_H
#define CW_HTTP_OUT_H

#include <sys/uio.h>

#include "http/request.h"

/* The parts of one write: framing before, body, framing after. */
typedef struct cw_parts {
  cw_span_t before, body, after;
  bool last; /* the response ends with them */
} cw_parts_t;

/* Sends the parts, keeps what the socket does not take. The framing is always taken;
 * *taken says how many body bytes were. CW_WAIT: `after` and the rest of the body are
 * still the caller's. Thread that runs the request. */
CW_MUSTCHECK int cw_out_write(cw_req_t *req, const cw_parts_t *parts, size_t *taken);

/* Sends an interim response, whole or not at all in front of what the loop may answer
 * meanwhile (a deadline's 504): CW_LOST where that was sent. Thread that runs the
 * request, before its response. */
CW_MUSTCHECK int cw_out_send_interim(cw_req_t *req, cw_span_t text);

/* Sends the parts, or holds them back, and keeps what the socket does not take, however
 * much that is.
 * CW_OK, CW_LOST, CW_NOMEM (lost then). Under req->lock: whoever holds it may send, so
 * that nothing else of the request's protocol may send without. */
CW_MUSTCHECK int cw_out_put_locked(cw_req_t *req, const cw_parts_t *parts);

/* Sends a file's range; hands what is left to the loop. *taken is `len` on success.
 * `before` (the response head) goes first. */
CW_MUSTCHECK int cw_out_write_file(cw_req_t *req, cw_span_t before, int fd, int64_t off,
                                   int64_t len, int64_t *taken);

/* Bytes of the response that wait for the loop to send them; under req->lock, or where
 * no thread runs the request. */
int64_t cw_out_pending(const cw_req_t *req);

/* Sends what `out` holds; under req->lock. 0: all gone, CW_WAIT, CW_LOST. Baton held.
 */
CW_MUSTCHECK int cw_out_flush_locked(cw_req_t *req);

#endif
