/* SPDX-License-Identifier: MIT */
/* The HTTP side of a worker: loop, listeners, connections.
 *
 * A cw_server_t is touched only by the baton holder, except by cw_server_wake(), which
 * any thread may call. */
#ifndef CW_HTTP_SERVER_H
#define CW_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/board.h"
#include "base/heritage.h"
#include "base/list.h"
#include "base/macros.h"
#include "base/modes.h"
#include "http/app.h"
#include "http/proxy_header.h"

typedef struct cw_server cw_server_t;

/* What the worker does for the HTTP side. */
typedef struct cw_host {
  void *data;
  /* A request is complete enough to run. Baton held; takes the request. */
  void (*ready)(void *data, cw_req_t *req);
  /* The calling app thread is about to wait: let another thread turn the loop. */
  void (*blocking)(void *data);
  /* The request's time is up, and its client has its answer where none had begun. It
   * may run, wait for a thread, or be just about to end; it stays valid during the
   * call. Baton held. May be NULL. */
  void (*expired)(void *data, cw_req_t *req);
} cw_host_t;

typedef struct cw_limits {
  size_t head;                     /* bytes of a whole header section */
  size_t request_line, field_size; /* bytes; at most `head` */
  unsigned fields;
  int64_t body;              /* bytes; 0: none */
  int64_t buffer_body;       /* bytes */
  size_t buffer_memory;      /* bytes of requests that are still coming; 0: no limit */
  int64_t keepalive, header; /* ms */
  int64_t send;              /* ms a client may take no response bytes */
  int64_t body_pause;        /* ms between two pieces of a body; 0: any, at any rate */
  int64_t rate;              /* least bytes/s of a body in either direction; 0: none */
  unsigned connections;      /* open at once; 0: no limit */
  cw_networks_t trusted;     /* whose word on the client counts; borrowed */
  unsigned proxy_headers;    /* CW_SAYS_*: what they may say beside the scheme */
  bool clear_proxy_headers;  /* what does not count is not for the app */
  cw_networks_t proxies;     /* who may send a PROXY header; borrowed */
  cw_proxy_mode_t proxy_mode;
  cw_underscores_t underscores;
  int64_t request_timeout; /* ms from complete to the response's end; 0: none */
  /* All texts are borrowed; NULL: not asked for. */
  const char *health;        /* path that is answered here */
  const char *metrics;       /* path of the metrics on the service's listeners */
  const char *access_log;    /* file, or "-" */
  const char *access_format; /* as cw_access_format_check() takes it */
  bool access_syslog;        /* the access log goes to syslog, too */
  const char *statsd;        /* "HOST:PORT" or "unix://PATH" */
  const char *statsd_prefix, *statsd_tags;
  const char *secure_schemes;    /* "NAME=VALUE,..."; NULL: the usual ones */
  const char *forwarder_headers; /* names with underscores that the
                                    trusted may send; NULL: none */
} cw_limits_t;

/* Bytes that one connection may hold at most. Any thread. */
size_t cw_conn_most(const cw_limits_t *limits);

/* A ready request's place in the host's queue, and back. */
cw_list_t *cw_req_link(cw_req_t *req);
cw_req_t *cw_req_of(cw_list_t *link);

/* Makes a server for already bound `listeners` (borrowed for the server's life).
 * Returns NULL with the reason in `*reason`. */
CW_MUSTCHECK cw_server_t *cw_server_new(const cw_listener_t *listeners, int n,
                                        const cw_limits_t *limits,
                                        const cw_host_t *host, const char **reason);

/* Has the server count in `board`'s slot, which its metrics and health answers tell of.
 * Between new and listen. */
void cw_server_set_board(cw_server_t *srv, cw_board_t *board, int slot);

/* listen(2) on every socket and start accepting. Returns 0 or a negative errno. */
CW_MUSTCHECK int cw_server_listen(cw_server_t *srv, int backlog);

/* One turn: handles what app threads posted, then socket events and timers. Waits
 * for an event where `wait` is true and nothing is ready. */
void cw_server_turn(cw_server_t *srv, bool wait);

/* Ends a waiting turn. Any thread. */
void cw_server_wake(cw_server_t *srv);

/* Ends a waiting turn if there are messages of app threads that it was not worth ending
 * for; the caller has nothing else to do. Any thread. */
void cw_server_nudge(cw_server_t *srv);

/* Stops accepting, closes the listeners and idle connections and lets running requests
 * end. */
void cw_server_drain(cw_server_t *srv);

/* Opens the files of both logs anew. */
void cw_server_reopen_logs(cw_server_t *srv);

/* The calling thread is about to run the request. */
void cw_req_started(cw_req_t *req);

/* Stops accepting on the service's own addresses, for others to do it, or goes on. */
void cw_server_hold_accept(cw_server_t *srv, bool hold);

/* The host's own timers. */
typedef enum cw_host_timer {
  CW_HOST_RETRY,
  CW_HOST_DEADLINE,
  CW_HOST_BEAT,
  CW_HOST_TIMERS
} cw_host_timer_t;

/* Runs `fn(data)` in the loop after `ms` milliseconds, once, and ends the turn; a
 * second call moves the time. `ms` < 0 cancels. */
void cw_server_timer(cw_server_t *srv, cw_host_timer_t which, int64_t ms,
                     void (*fn)(void *), void *data);

/* Has `fn(data)` called in the loop whenever `fd`, the caller's, can be read, until it
 * is unwatched or the server is freed; each call ends the turn. A few at most. Returns
 * 0 or a negative errno. */
CW_MUSTCHECK int cw_server_watch(cw_server_t *srv, int fd, void (*fn)(void *),
                                 void *data);
void cw_server_unwatch(cw_server_t *srv, int fd);

/* Connections open now. */
unsigned cw_server_connections(const cw_server_t *srv);

/* Closes every connection, running requests included (none may be left running),
 * and frees the server. */
void cw_server_free(cw_server_t *srv);

#endif
