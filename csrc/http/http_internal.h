/* SPDX-License-Identifier: MIT */
/* Shared by the files of http/ only: connections, requests, the server.
 *
 * Ownership: a cw_conn_t is the baton holder's. A cw_req_t is the baton holder's until
 * it is given to the host as ready, then the running thread's until it posts DONE; the
 * fields under `lock` and the atomics are shared in between. */
#ifndef CW_HTTP_INTERNAL_H
#define CW_HTTP_INTERNAL_H

#include <uv.h>

#include "http/parse.h"
#include "http/request.h"
#include "http/server.h"

enum {
  CW_READ_SIZE = 64 * 1024,     /* one recv(2) */
  CW_PIPELINE_HIGH = 16 * 1024, /* bytes of later requests held while one runs */
  CW_HEAD_USUAL = 128 * 1024,   /* a whole head, where nobody says how long it may be */
  CW_WATCHES = 3,               /* descriptors of the host */
  CW_SPARE = 4,                 /* places and descriptors kept for probes and scrapes */
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
  cw_timeqs_t timers;
  uint64_t tick_due; /* what `tick` waits for; UINT64_MAX: nothing */
  struct cw_acceptor {
    uv_poll_t poll;
    cw_server_t *srv;
    const cw_listener_t *info;
    bool open, polled;
  } acceptors[CW_MAX_LISTENERS];
  int n_acceptors;
  cw_service_t service;
  bool own_paths;      /* some requests are answered here */
  bool scraping;       /* own.c: it is looking at the posts */
  bool accept_paused;  /* out of descriptors */
  bool accept_held;    /* another worker can take them sooner */
  bool accept_full;    /* at the connection limit, and none is idle */
  bool gave_request;   /* to the host, in this turn */
  uint64_t refused_at; /* refusals.c: loop time of the last line, ms; 0: none */
  unsigned refused;    /* refusals.c: not told of since */
  bool exceeding;      /* the limit, in case a probe waits */
  bool on_spare;       /* the next one is accepted by a spare descriptor */
  size_t held;         /* budget.c: bytes of requests that are still coming */
  unsigned n_conns;
  unsigned n_spare, want_spare;
  int spare[CW_SPARE]; /* open, and closed for a probe or a scrape to come in */
  cw_list_t conns;
  cw_parser_t parser;

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

#endif
