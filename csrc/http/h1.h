/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 on a connection: one request after the other. Baton holder only; a
 * connection may end in any of these. */
#ifndef CW_HTTP_H1_H
#define CW_HTTP_H1_H

#include "http/conn.h"
#include "http/request.h"

extern const cw_stream_t cw_h1_stream; /* h1_send.c */

typedef enum cw_h1_state {
  CW_H1_HEAD,  /* waits for a whole header section */
  CW_H1_IDLE,  /* kept alive, no byte of a next request yet */
  CW_H1_BODY,  /* collects a small body before its request runs */
  CW_H1_RUN,   /* the request is ready or running */
  CW_H1_FLUSH, /* the app is done, the loop still sends */
  CW_H1_SKIP,  /* throws the unread rest of a body away */
  CW_H1_STATES,
} cw_h1_state_t;

/* Its part of a connection. */
typedef struct cw_h1_conn {
  cw_req_t *req; /* NULL between requests */
  size_t scanned;
  uint8_t state;  /* cw_h1_state_t; h1.c changes it */
  uint8_t blanks; /* empty lines before this request */
} cw_h1_conn_t;

static inline cw_h1_conn_t *cw_h1_of(cw_conn_t *c) {
  return (cw_h1_conn_t *)(void *)c->part;
}

/* ---- h1_state.c -------------------------------------------------------------- */

/* The only way from one state to another: by a table of legal moves. */
void cw_h1_set_state(cw_conn_t *c, cw_h1_state_t state);

/* Kept alive and waiting: the one to go when room is needed. */
void cw_h1_become_idle(cw_conn_t *c);

/* The connection has no request any more. */
void cw_h1_let_go(cw_conn_t *c);

/* Whether the client can tell the end of the response's body. If not, only the end of
 * the connection marks it, and FIN after a part of it would look like success. */
bool cw_h1_is_framed(const cw_req_t *req);

/* The response is with the kernel. Returns whether the connection is free for its next
 * request. */
bool cw_h1_end_response(cw_conn_t *c);

/* ---- h1_answer.c: answers that no thread gives ----------------------------- */

/* Answers a request that is not run, and ends the connection. What follows it on the
 * connection is never looked at. `why` as for cw_refusal_log(); `line` is the start of
 * a head that cannot be read. */
void cw_h1_refuse(cw_conn_t *c, int status, const char *why, cw_span_t line);

/* The body cannot go on, as `why` says. */
void cw_h1_break_body(cw_conn_t *c, int status, const char *why);

/* Answers probes and scrapes; returns whether the request is one. Its head is complete.
 */
bool cw_h1_answer_probe(cw_conn_t *c);

/* As in cw_protocol_t. */
void cw_h1_on_deadline(cw_conn_t *c, cw_req_t *req);
void cw_h1_evict(cw_conn_t *c);
void cw_h1_shed(cw_conn_t *c, int status);

#endif
