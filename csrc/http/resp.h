/* SPDX-License-Identifier: MIT */
/* The response, as the application's side gives it. Threads, the GIL and results as in
 * app.h. */
#ifndef CW_HTTP_RESP_H
#define CW_HTTP_RESP_H

#include "http/app.h"

/* Starts the response head, dropping an earlier one that was not sent. `status` is
 * "200 OK". CW_BAD: not three digits, or control bytes. */
CW_MUSTCHECK int cw_resp_start(cw_req_t *req, const char *status, size_t len);

/* The same with the phrase of RFC 9110 section 15 for a status of three digits. */
CW_MUSTCHECK int cw_resp_start_code(cw_req_t *req, int status);

/* Adds a field. CW_BAD: the name is no token or the value has CR, LF, NUL or another
 * control byte. Framing and hop-by-hop fields are taken note of, not copied: returns
 * 1 where the field was left out because only the server may send it. */
CW_MUSTCHECK int cw_resp_field(cw_req_t *req, const char *name, size_t name_len,
                               const char *value, size_t value_len);

/* Drops a head that was not sent. */
void cw_resp_cancel(cw_req_t *req);

/* Sends "103 Early Hints" with these fields, before the response has begun and to an
 * HTTP/1.1 client; else does nothing. CW_BAD as for cw_resp_field(). */
CW_MUSTCHECK int cw_resp_early_hints(cw_req_t *req, const cw_field_t *fields,
                                     unsigned n);

/* Whether any byte of the response head was handed to the socket. */
bool cw_resp_sent(const cw_req_t *req);

/* The Content-Length that the app announced, or -1. */
int64_t cw_resp_length(const cw_req_t *req);

/* Whether all that the announced Content-Length allows has been sent. */
bool cw_resp_is_whole(const cw_req_t *req);

/* Whether a chunk's size was sent, and not all of the chunk. */
bool cw_resp_is_in_chunk(const cw_req_t *req);

/* Whether body bytes go out at all (not for HEAD, 1xx, 204 and 304). */
bool cw_resp_has_body(const cw_req_t *req);

/* Sends the head if it is still here and `n` bytes of body; `last` says that nothing
 * follows. What the socket does not take is kept for the loop up to the high-water
 * mark; beyond that CW_WAIT is returned and *taken says how many bytes went: call
 * again with the rest. Bytes over the Content-Length are dropped and noted. */
CW_MUSTCHECK int cw_resp_write(cw_req_t *req, const char *data, size_t n, bool last,
                               size_t *taken);

/* Sends `len` bytes of the file `fd` from `offset` as the rest of the body (sendfile;
 * the descriptor is duplicated where the loop has to go on). Same results as
 * cw_resp_write(); *taken counts file bytes. */
CW_MUSTCHECK int cw_resp_write_file(cw_req_t *req, int fd, int64_t offset, int64_t len,
                                    int64_t *taken);

/* Whether the client says that it reads trailers (RFC 9110 section 10.1.4). */
bool cw_head_takes_trailers(const cw_head_t *h);

/* Keeps a field for behind the body (RFC 9110 section 6.5), which its end sends. Once
 * the head is sent, and no more of the body follows. CW_BAD as for cw_resp_field();
 * 1 where the field was left out: the response has no such place, or the field may not
 * stand there. */
CW_MUSTCHECK int cw_resp_trailer(cw_req_t *req, const cw_field_t *field);

/* Whether the app produced more than its Content-Length: the rest was cut off. */
bool cw_resp_overrun(const cw_req_t *req);

/* Drops an unsent head and answers with a bare error status, e.g. 500. Nothing
 * happens where the head was sent. */
void cw_resp_error(cw_req_t *req, int status);

#endif
