/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 on a connection. For conn.c and server.c; baton holder only. A connection
 * may end in any of these. */
#ifndef CW_HTTP_EXCHANGE_H
#define CW_HTTP_EXCHANGE_H

#include "http/conn.h"

/* Bytes have arrived, or kept ones can be looked at again (n == 0). */
void cw_exchange_feed(cw_conn_t *c, const char *p, size_t n);

/* Answers a request that is not run, and ends the connection. What follows it on the
 * connection is never looked at. `why` as for cw_refusal_log(); `line` is the start of
 * a head that cannot be read. */
void cw_exchange_refuse(cw_conn_t *c, int status, const char *why, cw_span_t line);

/* Has the connection's request run, though its body may still be coming. */
void cw_exchange_start(cw_conn_t *c);

/* The response is with the kernel. */
void cw_exchange_end(cw_conn_t *c);

/* Whether the client can tell the end of the response's body. If not, only the end of
 * the connection marks it, and FIN after a part of it would look like success. */
bool cw_exchange_is_framed(const cw_req_t *req);

/* A window in which body bytes have to come ended. */
void cw_exchange_on_body_window(cw_conn_t *c);

/* server.c: the running thread has posted CW_POST_*. */
void cw_exchange_on_post(cw_conn_t *c, int posts);

/* server.c: the request's time is up. Where no byte of a response has left, the client
 * gets its answer now; whatever the thread still sends is lost. */
void cw_exchange_on_deadline(cw_conn_t *c);

/* Ends a connection that cw_evict_candidate() chose. */
void cw_exchange_evict(cw_conn_t *c);
/* Refuses a request that is still coming, for want of memory to hold it. */
void cw_exchange_shed(cw_conn_t *c, int status);

#endif
