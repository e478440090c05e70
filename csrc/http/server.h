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

#include "base/board.h"
#include "base/heritage.h"
#include "base/list.h"
#include "base/macros.h"
#include "http/limits.h"
#include "http/protocol.h"

typedef struct cw_server cw_server_t;

/* A ready request's place in the host's queue, and back. */
cw_list_t *cw_req_link(cw_req_t *req);
cw_req_t *cw_req_of(cw_list_t *link);

/* The same for one that was roused. */
cw_list_t *cw_req_roused_link(cw_req_t *req);
cw_req_t *cw_req_of_roused(cw_list_t *link);

/* Makes a server for already bound `listeners` (borrowed for the server's life), on
 * whose connections `protocol` is spoken.
 * Returns NULL with the reason in `*reason`. */
CW_MUSTCHECK cw_server_t *cw_server_new(const cw_protocol_t *protocol,
                                        const cw_listener_t *listeners, int n,
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

/* A tool may have begun to look at the board: cw_account_watch(). Baton held. */
void cw_server_watch_board(cw_server_t *srv);

/* The calling thread is about to run the request. */
void cw_req_started(cw_req_t *req);

/* Stops accepting on the service's own addresses, for others to do it, or goes on. */
void cw_server_hold_accept(cw_server_t *srv, bool hold);

/* Whether somebody waits there to be accepted. */
bool cw_server_has_waiting(const cw_server_t *srv);

/* The host's own timers. */
typedef enum cw_host_timer {
  CW_HOST_RETRY,
  CW_HOST_DEADLINE,
  CW_HOST_BEAT,
  CW_HOST_ASYNC,  /* how long the event loop of coroutines waits */
  CW_HOST_CANCEL, /* when those are cancelled */
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

/* Looks no more at a watched descriptor, or again. */
void cw_server_pause_watch(cw_server_t *srv, int fd, bool pause);

/* Connections open now. */
unsigned cw_server_connections(const cw_server_t *srv);

/* Closes every connection, running requests included (none may be left running),
 * and frees the server. */
void cw_server_free(cw_server_t *srv);

#endif
