/* SPDX-License-Identifier: MIT */
/* What is spoken on a connection, as conn.c sees it: HTTP/1.1 is one (h1.c). Baton
 * holder only. A connection may end in any of these, except in those that only ask. */
#ifndef CW_HTTP_PROTOCOL_H
#define CW_HTTP_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/app.h"

struct cw_conn;

typedef struct cw_protocol {
  /* Bytes of its own part of a connection, which begins as zeros. The clock runs as
   * CW_TIMER_HEAD when the connection opens. */
  size_t size;

  /* Uses as many of the bytes as it can now. The rest is kept, and offered again in
   * front of what comes next, or when cw_conn_feed() is called with none. */
  size_t (*consume)(struct cw_conn *c, const char *p, size_t n);

  /* The client has sent FIN; what was received before is still to be answered. */
  void (*on_eof)(struct cw_conn *c);

  /* The socket takes bytes, and `want_write` was set. */
  void (*on_writable)(struct cw_conn *c);

  /* Its clock has run out. */
  void (*on_timer)(struct cw_conn *c);

  /* The worker is to stop: what is idle ends, what runs is answered. */
  void (*on_drain)(struct cw_conn *c);

  /* The thread that runs `req` has posted CW_POST_*. */
  void (*on_post)(struct cw_conn *c, cw_req_t *req, int what);

  /* The request's time is up. Where no byte of a response has left, the client gets its
   * answer now; whatever the thread still sends is lost. */
  void (*on_deadline)(struct cw_conn *c, cw_req_t *req);

  /* Ends it for another one's sake, or because requests that come slowly hold too much:
   * then with an answer of this status. */
  void (*evict)(struct cw_conn *c);
  void (*shed)(struct cw_conn *c, int status);

  /* Nothing more can be read or sent: those that run requests are to learn it. */
  void (*lose)(struct cw_conn *c);

  /* The threads are gone: what they ran is over. */
  void (*abort)(struct cw_conn *c);

  /* The connection lingers or is closed: lets go of its requests. */
  void (*end)(struct cw_conn *c);

  /* Whether more is to be read now. */
  bool (*wants_read)(struct cw_conn *c);

  /* Bytes held of a request that is still coming, and how many ms it was waited for
   * before the clock that runs. */
  size_t (*held)(struct cw_conn *c, uint32_t *awaited);

  /* Asserts what must hold at the end of every event; debug builds call it. */
  void (*check)(struct cw_conn *c);
} cw_protocol_t;

/* h1.c: HTTP/1.1; ws.c: WebSocket, where a request of HTTP/1.1 became one. */
extern const cw_protocol_t cw_h1;
extern const cw_protocol_t cw_websocket;

/* From now on `c`, whose request was accepted as a WebSocket, speaks it; its thread has
 * posted `what` besides. The part of the protocol before is given up, and has to have
 * the size of this one's. */
void cw_ws_open(struct cw_conn *c, cw_req_t *req, int what);

#endif
