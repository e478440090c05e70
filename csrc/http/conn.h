/* SPDX-License-Identifier: MIT */
/* A connection: socket, input, clock, end. Baton holder only. Callers of http/ alone;
 * a connection may end in any function that can send, read or close. */
#ifndef CW_HTTP_CONN_H
#define CW_HTTP_CONN_H

#include <uv.h>

#include "http/request.h"
#include "http/server.h"

struct sockaddr_storage;

typedef enum cw_conn_state {
  CW_CONN_PROXY,  /* waits for a PROXY header */
  CW_CONN_HEAD,   /* waits for a whole header section */
  CW_CONN_IDLE,   /* kept alive, no byte of a next request yet */
  CW_CONN_BODY,   /* collects a small body before its request runs */
  CW_CONN_RUN,    /* the request is ready or running */
  CW_CONN_FLUSH,  /* the app is done, the loop still sends */
  CW_CONN_SKIP,   /* throws the unread rest of a body away */
  CW_CONN_LINGER, /* said goodbye, waits for the client to close */
  CW_CONN_CLOSED,
  CW_CONN_STATES,
} cw_conn_state_t;

/* Why a connection ends. conn.c has the words for each. */
typedef enum cw_end {
  CW_END_NONE,
  CW_END_DONE,      /* the response was the last one */
  CW_END_CLIENT,    /* the client closed it */
  CW_END_SOCKET,    /* the socket failed: a reset, for example */
  CW_END_IDLE,      /* kept alive for long enough */
  CW_END_EVICTED,   /* another one needs its place */
  CW_END_DRAIN,     /* the worker stops */
  CW_END_ABORTED,   /* the worker has stopped */
  CW_END_REFUSED,   /* its request was refused */
  CW_END_SILENT,    /* no request came */
  CW_END_SLOW_BODY, /* the body of its request came too slowly */
  CW_END_BAD_BODY,  /* or could not be read */
  CW_END_STALLED,   /* it did not read its response */
  CW_END_FAILED,    /* the app failed half-way through the response */
  CW_END_DEADLINE,  /* its request took longer than --request-timeout */
  CW_END_TAKEN,     /* the app has taken the socket over */
  CW_END_NO_MEMORY,
  CW_END_BAD_PROXY, /* no valid PROXY header */
  CW_END_NO_PROXY,  /* it may not speak without one */
  CW_ENDS,
} cw_end_t;

typedef struct cw_conn {
  uv_poll_t poll;
  cw_server_t *srv;
  cw_req_t *req;
  cw_buf_t in; /* received, not yet parsed */
  size_t scanned;
  cw_list_t all;
  cw_timer_t timer;
  const cw_listener_t *listener;
  int fd;
  uint8_t state;   /* cw_conn_state_t; cw_conn_set_state() changes it */
  uint8_t why;     /* cw_end_t: why it lingers */
  uint8_t events;  /* polled for */
  bool eof;        /* the client sent FIN */
  bool no_fin;     /* it ends by RST, or others go on with it */
  bool trusted;    /* its proxy headers count */
  bool spare;      /* accepted into a place that is kept for probes */
  bool want_write; /* the running thread or the loop waits to send */
  uint8_t blanks;  /* empty lines before this request */
  char peer_addr[46];
  char peer_port[6];
  size_t held;            /* bytes: its part of srv->held */
  uint32_t moved;         /* bytes in this timer window, of what it is for */
  cw_proxy_info_t *proxy; /* owned; NULL without a PROXY header */
} cw_conn_t;

/* Takes a connection that was accepted at `l`: its socket is the connection's. */
void cw_conn_accept(cw_server_t *srv, const cw_listener_t *l, int fd,
                    const struct sockaddr_storage *peer);

/* Its clock has run out; the worker is to stop, or has stopped. */
void cw_conn_on_timer(cw_conn_t *c);
void cw_conn_on_drain(cw_conn_t *c);
void cw_conn_abort(cw_conn_t *c);

/* Whether bytes have come that were not read yet. */
bool cw_conn_has_unread(const cw_conn_t *c);

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
