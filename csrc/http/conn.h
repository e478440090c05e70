/* SPDX-License-Identifier: MIT */
/* A connection as exchange.c sees it. Baton holder only. */
#ifndef CW_HTTP_CONN_H
#define CW_HTTP_CONN_H

#include "http/http_internal.h"

/* The only way from one state to another: by a table of legal moves. */
void cw_conn_set_state(cw_conn_t *c, cw_conn_state_t state);

/* Ends every event: what must hold of a connection then, asserted in debug builds. */
void cw_conn_check(cw_conn_t *c);

/* Has the socket polled for what the state asks for. After every change of it. */
void cw_conn_update_poll(cw_conn_t *c);

/* (Re)starts the connection's one clock; as a window in which bytes have to move it
 * begins to count them anew. */
void cw_conn_start_timer(cw_conn_t *c, cw_timer_kind_t kind);
void cw_conn_start_window(cw_conn_t *c, cw_timer_kind_t kind);

/* Kept alive and waiting: the one to go when room is needed. */
void cw_conn_become_idle(cw_conn_t *c);

/* The one way a connection ends, told of once. Never while a thread runs its request.
 * One that lingered ends for the reason it lingered for. */
void cw_conn_close(cw_conn_t *c, cw_end_t why);

/* The same so that the client sees an error even where the end of the connection would
 * have been the end of the body. */
void cw_conn_reset(cw_conn_t *c, cw_end_t why);

/* Says goodbye after a response: closing at once with unread input would reset the
 * connection under the response (RFC 9112 section 9.6). */
void cw_conn_linger(cw_conn_t *c, cw_end_t why);

/* Nothing more can be read or sent. What its thread still does is for nobody. */
void cw_conn_lose(cw_conn_t *c, cw_end_t why);

/* The client's address as its proxy or the socket says; "" on a Unix socket. */
const char *cw_conn_client(const cw_conn_t *c);

/* The client has sent FIN. */
void cw_conn_on_eof(cw_conn_t *c);

#endif
