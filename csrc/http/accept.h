/* SPDX-License-Identifier: MIT */
/* Listeners: who is let in, and when nobody is. Baton holder only. */
#ifndef CW_HTTP_ACCEPT_H
#define CW_HTTP_ACCEPT_H

#include <uv.h>

#include "base/heritage.h"
#include "http/server.h"

enum { CW_SPARE = 4 }; /* places and descriptors kept for probes and scrapes */

typedef struct cw_acceptors {
  struct cw_acceptor {
    uv_poll_t poll;
    cw_server_t *srv;
    const cw_listener_t *info;
    bool open, polled;
  } items[CW_MAX_LISTENERS];
  int n;
  uv_timer_t retry;
  bool paused;    /* out of descriptors */
  bool held;      /* another worker can take them sooner */
  bool full;      /* at the connection limit, and none is idle */
  bool exceeding; /* the limit, in case a probe waits */
  bool on_spare;  /* the next one is accepted by a spare descriptor */
  /* Descriptors that are kept for probes and scrapes, where there is something to probe
   * or to scrape: open, and closed for one of them to come in. */
  int spare[CW_SPARE];
  unsigned n_spare, want_spare;
} cw_acceptors_t;

/* Takes the listeners (borrowed). Returns 0 or a libuv error; what was opened is closed
 * by cw_accept_close(), after which the loop has to run. */
CW_MUSTCHECK int cw_accept_init(cw_server_t *srv, const cw_listener_t *listeners,
                                int n);
void cw_accept_close(cw_server_t *srv);

/* listen(2) on every socket and start accepting. Returns 0 or a negative errno. */
CW_MUSTCHECK int cw_accept_listen(cw_server_t *srv, int backlog);

/* Takes who is in the queue, and closes the listeners. */
void cw_accept_drain(cw_server_t *srv);

/* Stops accepting on the service's own addresses, for others to do it, or goes on. */
void cw_accept_hold(cw_server_t *srv, bool hold);

/* Whether somebody waits at one of them to be accepted. */
bool cw_accept_waits(const cw_server_t *srv);

/* There may be room again. */
void cw_accept_made_room(cw_server_t *srv);

#endif
