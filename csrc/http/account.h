/* SPDX-License-Identifier: MIT */
/* What a server tells of its requests: the access log, statsd, metrics. Baton holder,
 * except where a comment says otherwise. */
#ifndef CW_HTTP_ACCOUNT_H
#define CW_HTTP_ACCOUNT_H

#include <uv.h>

#include "base/board.h"
#include "base/statsd.h"
#include "http/access.h"
#include "http/limits.h"

/* Logged and counted where the client left before it was answered; nginx's number. */
enum { CW_STATUS_LEFT = 499 };

typedef struct cw_account {
  cw_board_t *board;     /* NULL: none */
  cw_metrics_t *metrics; /* the board's slot, else `no_board` */
  cw_metrics_t no_board;
  cw_access_log_t *access; /* NULL: none */
  cw_statsd_t *statsd;     /* NULL: none */
  uv_timer_t statsd_timer;
  uint64_t statsd_sent; /* loop time, ms */
  struct cw_statsd_tally {
    int status;
    unsigned n; /* 0: this one and those behind it are free */
  } tallies[8];
  bool counted;        /* somebody may ask for metrics */
  bool watched;        /* somebody looks at the moment; baton */
  _Atomic(bool) timed; /* requests' times are of interest; written with the baton */
} cw_account_t;

/* Opens what the limits ask for; `counted` where somebody may ask for metrics. Returns
 * 0, or -1 with the reason in `err`; what was opened is closed by cw_account_fini().
 * The loop's handle is to be closed by cw_account_close(), before. */
CW_MUSTCHECK int cw_account_init(cw_account_t *acc, uv_loop_t *loop,
                                 const cw_limits_t *limits, bool counted, char *err,
                                 size_t err_len);
void cw_account_close(cw_account_t *acc);
void cw_account_fini(cw_account_t *acc);

/* Counts in `board`'s slot from now on. */
void cw_account_set_board(cw_account_t *acc, cw_board_t *board, int slot);

/* Counts times, statuses and bytes for as long as the board says that somebody looks
 * (watched_until), if it does. Baton held. */
void cw_account_watch(cw_account_t *acc);

/* A request has been answered or given up. A second call for it does nothing. */
void cw_account_once(cw_account_t *acc, cw_req_t *req);

/* The same for one whose head could not be read, of the client `peer`; `line` is what
 * came of its first line. */
void cw_account_refused(cw_account_t *acc, const char *peer, int status,
                        cw_span_t line);

/* A connection was accepted; so many are open. */
void cw_account_accepted(cw_account_t *acc);
void cw_account_connections(cw_account_t *acc, unsigned n);

/* A WebSocket was opened, or closed. */
void cw_account_websocket(cw_account_t *acc, bool opened);

/* A request was given to the host to run. */
void cw_account_given(cw_account_t *acc);

/* Sends and writes what was collected. At the end of a turn, and before it waits. */
void cw_account_flush(cw_account_t *acc);

/* Keeps the response fields that the access log wants. The thread that runs the
 * request, with a complete head in req->resp.head. */
void cw_account_note_fields(const cw_account_t *acc, cw_req_t *req);

/* The thread that ran a request is done with it. Any thread. */
void cw_account_finished(cw_account_t *acc);

#endif
