/* SPDX-License-Identifier: MIT */
/* A connection: socket, input, clock, end. What is spoken on it is its protocol's.
 * Baton holder only; a connection may end in any function that can read or close. */
#ifndef CW_HTTP_CONN_H
#define CW_HTTP_CONN_H

#include <stddef.h>
#include <uv.h>

#include "base/buf.h"
#include "base/heritage.h"
#include "base/tag.h"
#include "http/protocol.h"
#include "http/proxy_header.h"
#include "http/server.h"
#include "http/timeq.h"

struct sockaddr_storage;

typedef enum cw_phase {
  CW_PHASE_PREFACE, /* waits for a PROXY header */
  CW_PHASE_OPEN,    /* the protocol's */
  CW_PHASE_LINGER,  /* said goodbye, waits for the client to close */
  CW_PHASE_CLOSED,
  CW_PHASES,
} cw_phase_t;

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
  CW_END_WS_CLOSED, /* by WebSocket's closing handshake, */
  CW_END_WS_BROKEN, /* because its client broke the rules, */
  CW_END_WS_SILENT, /* gave no sign of life, */
  CW_END_WS_MUTE,   /* or did not answer a close */
  CW_END_NO_MEMORY,
  CW_END_BAD_PROXY, /* no valid PROXY header */
  CW_END_NO_PROXY,  /* it may not speak without one */
  CW_ENDS,
} cw_end_t;

typedef struct cw_conn {
  uv_poll_t poll;
  cw_server_t *srv;
  const cw_protocol_t *protocol;
  cw_buf_t in; /* received, not yet used */
  cw_list_t all;
  cw_timer_t timer;
  const cw_listener_t *listener;
  int fd;
  uint8_t phase, why; /* cw_phase_t; cw_end_t, of one that lingers */
  uint8_t events;     /* polled for */
  bool pausing;       /* for reading, too, and the next bytes end that */
  bool eof;           /* the client sent FIN */
  bool no_fin;        /* it ends by RST, or others go on with it */
  bool trusted;       /* its proxy headers count */
  bool spare;         /* accepted into a place that is kept for probes */
  bool want_write;    /* the running thread or the loop waits to send */
  bool collecting;    /* protocol: it holds more of a request that comes than `in` */
  uint32_t running;   /* protocol: requests that threads have; it may not be closed */
  char peer_addr[CW_ADDR_TEXT];
  char peer_port[CW_PORT_TEXT];
  size_t held;            /* bytes: its part of srv->held */
  uint32_t moved;         /* bytes in this timer window, of what it is for */
  cw_proxy_info_t *proxy; /* owned; NULL without a PROXY header */
  CW_TAGGED;
  _Alignas(max_align_t) unsigned char part[]; /* the protocol's */
} cw_conn_t;

/* ---- for the server and accept.c ------------------------------------------- */

/* Takes a connection that was accepted at `l`: its socket is the connection's. */
void cw_conn_accept(cw_server_t *srv, const cw_listener_t *l, int fd,
                    const struct sockaddr_storage *peer);

/* Its clock has run out; the worker is to stop, or has stopped. */
void cw_conn_on_timer(cw_conn_t *c);
void cw_conn_on_drain(cw_conn_t *c);
void cw_conn_abort(cw_conn_t *c);

/* Handles every message of running threads. Returns whether there was one. */
bool cw_conn_take_posts(cw_server_t *srv);

/* The time of a request is up. */
void cw_conn_on_deadline(cw_req_t *req);

/* Ends a connection that cw_evict_candidate() chose. */
void cw_conn_evict(cw_conn_t *c);

/* Whether bytes have come that were not read yet. */
bool cw_conn_has_unread(const cw_conn_t *c);

/* ---- for protocols ---------------------------------------------------------- */

/* Bytes have arrived, or kept ones can be looked at again (n == 0). */
void cw_conn_feed(cw_conn_t *c, const char *p, size_t n);

/* Has the socket polled for what is wanted. After every change of it. */
void cw_conn_update_poll(cw_conn_t *c);

/* (Re)starts the connection's one clock; as a window in which bytes have to move it
 * begins to count them anew. Whether enough moved in the one that has just ended. */
void cw_conn_start_timer(cw_conn_t *c, cw_timer_kind_t kind);
void cw_conn_start_window(cw_conn_t *c, cw_timer_kind_t kind);
bool cw_conn_kept_pace(const cw_conn_t *c);

/* The one way a connection ends, told of once. Never while a thread runs a request of
 * it. One that lingered ends for the reason it lingered for. */
void cw_conn_close(cw_conn_t *c, cw_end_t why);

/* The same so that the client sees an error even where the end of the connection would
 * have been the end of the body. */
void cw_conn_reset(cw_conn_t *c, cw_end_t why);

/* Says goodbye after a response: closing at once with unread input would reset the
 * connection under the response (RFC 9112 section 9.6). */
void cw_conn_linger(cw_conn_t *c, cw_end_t why);

/* Nothing more can be read or sent. What its threads still do is for nobody. */
void cw_conn_lose(cw_conn_t *c, cw_end_t why);

/* Sends what `req` has for the loop to send. Returns whether all of it has left; where
 * it cannot be sent the connection is lost. The other one asserts that what is left is
 * polled for, or somebody was told. */
bool cw_conn_flush(cw_conn_t *c, cw_req_t *req);
void cw_conn_check_output(const cw_conn_t *c, cw_req_t *req);

/* The client's address as its proxy or the socket says; "" on a Unix socket. */
const char *cw_conn_client(const cw_conn_t *c);

/* Whether it has ended, or is about to. */
static inline bool cw_conn_is_over(const cw_conn_t *c) {
  return c->phase == CW_PHASE_LINGER || c->phase == CW_PHASE_CLOSED;
}

#endif
