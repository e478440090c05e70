/* SPDX-License-Identifier: MIT */
/* Shared by the files of http/ only: connections, requests, the server.
 *
 * Ownership: a cw_conn_t is the baton holder's. A cw_req_t is the baton holder's until
 * it is given to the host as ready, then the running thread's until it posts DONE; the
 * fields under `lock` and the atomics are shared in between. */
#ifndef CW_HTTP_INTERNAL_H
#define CW_HTTP_INTERNAL_H

#include <llhttp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/event.h"
#include "base/list.h"
#include "base/schemes.h"
#include "http/account.h"
#include "http/app.h"
#include "http/chunked.h"
#include "http/post.h"
#include "http/server.h"
#include "http/timeq.h"

enum {
  CW_READ_SIZE = 64 * 1024,     /* one recv(2) */
  CW_BODY_HIGH = 64 * 1024,     /* streamed body bytes held before reading pauses */
  CW_OUT_HIGH = 256 * 1024,     /* unsent response bytes held before a thread waits */
  CW_PIPELINE_HIGH = 16 * 1024, /* bytes of later requests held while one runs */
  CW_HEAD_USUAL = 128 * 1024,   /* a whole head, where nobody says how long it may be */
  CW_DISCARD_MAX =
      64 * 1024, /* unread body known at the response: keep the connection */
  CW_SKIP_MAX = 1024 * 1024, /* unread body thrown away before it is given up */
  CW_REQ_ARENA = 4 * 1024,
  CW_REQ_POOL = 64, /* requests kept for reuse */
  CW_WATCHES = 3,   /* descriptors of the host */
  CW_SPARE = 4,     /* places and descriptors kept for probes and scrapes */
};

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

typedef struct cw_body {
  cw_buf_t buf;         /* under lock once running */
  int64_t left;         /* Content-Length bytes not yet received; loop only */
  cw_chunked_t chunked; /* loop only */
  bool complete;        /* all received; under lock */
  bool broken;          /* nothing more will come: see `why`; under lock */
  bool paused;          /* reading stopped because buf is full; under lock */
  int status;           /* why it is broken, where that deserves one; under lock */
  const char *why;      /* the same in words; static; under lock */
  int64_t taken;        /* bytes the app took; thread only */
  int64_t received;     /* loop only */
  uint32_t awaited;     /* ms in which more of it was waited for; loop only */
  uint32_t silent;      /* ms of these since anything came; loop only */
} cw_body_t;

typedef struct cw_resp {
  cw_buf_t head;
  int status;
  bool started, sent, ended;
  bool chunked, no_body, close, has_date, upgrade;
  bool overrun;      /* the app produced more than its Content-Length */
  int64_t length;    /* Content-Length, -1 unknown */
  int64_t body_sent; /* body bytes accepted */
  size_t chunk_left; /* of an open chunk */
} cw_resp_t;

typedef struct cw_out {
  cw_buf_t buf; /* bytes for the loop to send */
  int file_fd;  /* then this file's range; -1: none */
  int64_t file_off, file_left;
} cw_out_t;

/* Who sends the first byte of a response; only with a request timeout. */
enum { CW_CLAIM_NONE, CW_CLAIM_THREAD, CW_CLAIM_LOOP };

struct cw_req {
  cw_head_t head; /* first: cw_req_head() */
  cw_conn_t *conn;
  cw_post_t post; /* its node: ready queue, post list or pool */
  cw_arena_t arena;
  bool keep_alive; /* what the client asked for */
  bool expect_continue;
  bool continue_sent;

  pthread_mutex_t lock;
  cw_event_t event;
  bool waiting; /* under lock: the thread waits for `event` */
  cw_body_t body;
  cw_out_t out; /* under lock */
  cw_resp_t resp;

  atomic_bool lost;       /* set by the loop or a failed send */
  _Atomic int64_t eof_at; /* us, set by the loop: the client sent FIN; 0: it did not */
  bool failed;            /* set by the thread before DONE: abort the connection */

  /* The request's time. All in microseconds, 0 where it did not happen or nobody wants
   * to know (cw_account_t.timed). */
  cw_timer_t deadline; /* loop */
  atomic_int claim;    /* CW_CLAIM_*: taken once */
  bool claimed;        /* thread only: it has the claim */
  int64_t head_at;     /* loop: the head was complete, */
  int64_t ready_at;    /* loop: and all that has to be there to run */
  int64_t started_at;  /* thread: the app was called */
  int64_t done_at;     /* thread: it was done; loop: what was left is with the kernel */
  uint32_t head_len;   /* loop: bytes of the request's head */
  uint64_t bytes_sent; /* whoever may send */
  bool accounted;      /* loop: it was counted and logged */
  bool followed;       /* loop: bytes came behind its head */
  bool taken_over;     /* thread: the connection is the app's */
  int answered;        /* loop: the status that was sent without the app */
  cw_span_t *log_fields, *log_environ; /* thread: what the access log wants */

  _Alignas(16) char first_block[CW_REQ_ARENA];
};

struct cw_server {
  uv_loop_t loop;
  uv_timer_t tick; /* runs the timer queues */
  struct cw_host_timer_slot {
    uv_timer_t timer;
    void (*fn)(void *);
    void *data;
  } host_timers[CW_HOST_TIMERS];
  struct cw_watch_slot {
    uv_poll_t poll;
    void (*fn)(void *);
    void *data;
    bool open;
  } watches[CW_WATCHES];
  int n_watches;
  uv_timer_t accept_retry;
  cw_limits_t limits;
  cw_host_t host;
  cw_timeqs_t timers;
  uint64_t tick_due; /* what `tick` waits for; UINT64_MAX: nothing */
  struct cw_acceptor {
    uv_poll_t poll;
    cw_server_t *srv;
    const cw_listener_t *info;
    bool open, polled;
  } acceptors[CW_MAX_LISTENERS];
  int n_acceptors;
  cw_account_t account;
  bool own_paths;       /* some requests are answered here */
  bool scraping;        /* own.c: it is looking at the posts */
  cw_schemes_t schemes; /* fields of trusted proxies that tell of https */
  atomic_bool draining; /* set by the loop, read by threads that end a head */
  bool accept_paused;   /* out of descriptors */
  bool accept_held;     /* another worker can take them sooner */
  bool accept_full;     /* at the connection limit, and none is idle */
  bool gave_request;    /* to the host, in this turn */
  uint64_t refused_at;  /* refusals.c: loop time of the last line, ms; 0: none */
  unsigned refused;     /* refusals.c: not told of since */
  bool exceeding;       /* the limit, in case a probe waits */
  bool on_spare;        /* the next one is accepted by a spare descriptor */
  size_t held;          /* budget.c: bytes of requests that are still coming */
  unsigned n_conns;
  unsigned n_spare, want_spare;
  int spare[CW_SPARE]; /* open, and closed for a probe or a scrape to come in */
  cw_list_t conns;
  cw_list_t pool;
  unsigned n_pool;
  llhttp_t parser; /* behind a request line; copied for each head */
  llhttp_settings_t callbacks;

  cw_posts_t posts;

  char rbuf[CW_READ_SIZE];
};

/* conn.c */
void cw_conn_accept(cw_server_t *srv, const cw_listener_t *l, int fd,
                    const struct sockaddr_storage *peer);
void cw_conn_on_timer(cw_conn_t *c);
void cw_conn_on_drain(cw_conn_t *c);
void cw_conn_abort(cw_conn_t *c);
/* Whether bytes have come that were not read yet. */
bool cw_conn_has_unread(const cw_conn_t *c);

/* server.c: handles every message. Returns whether there was one. */
bool cw_server_take_posts(cw_server_t *srv);
/* server.c: a connection was closed or became idle: there may be room again. */
void cw_server_made_room(cw_server_t *srv);
/* server.c: sees to it that the timer queues are looked at in time. */
void cw_server_schedule_tick(cw_server_t *srv);

/* Ends the turn after the timer's callback. Every timer does so: libuv before 1.45 runs
 * what is due before it waits for I/O, and would then sleep on what that changed. */
void cw_server_end_turn(uv_timer_t *timer);

/* server.c: the address of a peer, as text and as bytes. False for one without. */
bool cw_peer_address(const struct sockaddr_storage *peer, cw_addr_t *addr,
                     char text[46], char port[6]);

/* request.c: whether the calling thread may send the response's first byte. */
bool cw_req_claim(cw_req_t *req);

/* body.c: feeds received bytes to the open body of the connection's request. Returns
 * how many were used, fewer than `n` only at the body's end. *status is set where the
 * body cannot go on: the framing is broken (400), it is too long (413), there is no
 * memory for it (503). Baton held. */
size_t cw_body_feed(cw_conn_t *c, const char *p, size_t n, int *status);
/* body.c: a chunked body is complete before its request runs: from here on it is one
 * with a Content-Length (RFC 9112 section 7.1.3), which frameworks look for. Where
 * memory is short nothing changes. Baton held. */
void cw_body_set_length(cw_req_t *req);
/* body.c: has a running thread learn that the body cannot go on. `why` is static text.
 * Baton held. */
void cw_body_break(cw_req_t *req, int status, const char *why);
/* body.c: a window in which more of the body was waited for is over. Returns NULL, or
 * why it is given up. Baton held. */
const char *cw_body_too_slow(cw_conn_t *c);

/* request.c */
CW_MUSTCHECK cw_req_t *cw_req_new(cw_conn_t *c);
void cw_req_free(cw_req_t *req);
void cw_req_mark_lost(cw_req_t *req);

/* out.c: bytes of the response that wait for the loop to send them; under req->lock,
 * or where no thread runs the request. */
int64_t cw_out_pending(const cw_req_t *req);

/* out.c: sends what `out` holds; under req->lock. 0: all gone, CW_WAIT, CW_LOST. */
CW_MUSTCHECK int cw_out_flush_locked(cw_req_t *req);

#endif
