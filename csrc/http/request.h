/* SPDX-License-Identifier: MIT */
/* A request: what came of it, its body, its response. It knows its service and its
 * socket, and nothing of the connection.
 *
 * It is the baton holder's until it is given to the host as ready, then the running
 * thread's until it posts DONE; the fields under `lock` and the atomics are shared in
 * between. */
#ifndef CW_HTTP_REQUEST_H
#define CW_HTTP_REQUEST_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/event.h"
#include "base/tag.h"
#include "http/chunked.h"
#include "http/resp.h"
#include "http/service.h"
#include "http/timeq.h"

enum {
  CW_BODY_HIGH = 64 * 1024,   /* streamed body bytes held before reading pauses */
  CW_OUT_HIGH = 256 * 1024,   /* unsent response bytes held before a thread waits */
  CW_DISCARD_MAX = 64 * 1024, /* unread body at the response: keep the connection */
  CW_SKIP_MAX = 1024 * 1024,  /* unread body thrown away before it is given up */
  CW_REQ_ARENA = 4 * 1024,
};

typedef struct cw_body {
  cw_buf_t buf;         /* under lock once running */
  bool block;           /* its memory is one of service->blocks; loop only */
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
  bool trailing;     /* the last chunk is in `head`, and fields behind it */
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
  cw_service_t *service;
  const cw_stream_t *stream;
  struct cw_conn *conn; /* loop only: whose it is */
  int fd;               /* the socket, which lives as long as the request */
  bool trusted;         /* its proxy headers count */
  cw_post_t post;       /* its node: ready queue, post list or pool */
  cw_arena_t arena;
  bool persistent; /* the client goes on with the connection: RFC 9112 section 9.3 */
  bool expect_continue, continue_sent;
  atomic_bool may_hold; /* set by its thread: what is small may wait for the turn, */
  bool held;            /* under lock: and does */

  pthread_mutex_t lock;
  cw_event_t event;
  bool waiting; /* under lock: the thread waits for `event`, or its host to be told */
  bool async;   /* under lock: the host is; false in the pool */
  bool watched; /* under lock, async: also of the client's end */
  atomic_bool overdue; /* async: set by the loop */
  cw_list_t roused;    /* async: the host's */
  void *owner;         /* async: thread only */
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
  CW_TAGGED;

  struct cw_ws *ws;  /* thread until CW_POST_SWITCH; NULL: no WebSocket */
  void *first_block; /* CW_REQ_ARENA bytes, or what a WebSocket needs; owned */
};

/* A new request of a connection whose socket is `fd`; NULL: no memory. Baton held for
 * these two. */
CW_MUSTCHECK cw_req_t *cw_req_new(cw_service_t *service, const cw_stream_t *stream,
                                  int fd);
void cw_req_free(cw_req_t *req);
void cw_req_discard(cw_req_t *req); /* the same, where its arena was replaced */

/* Frees the request's arena, whose contents are copied to `block`, and takes that. */
void cw_req_replace_arena(cw_req_t *req, void *block);

/* Frees those that are kept for reuse. Baton held, no request is left. */
void cw_req_empty_pool(cw_service_t *service);

/* Nothing more can be read or sent: has its thread learn it. Baton held. */
void cw_req_mark_lost(cw_req_t *req);

/* What `req` waits for may be there. Under req->lock, where `waiting` is set. */
void cw_req_rouse_locked(cw_req_t *req);

/* Its time is up; false: no host is told that way. Baton held. */
bool cw_req_rouse_overdue(cw_req_t *req);

/* The client has half-closed. Baton held. */
void cw_req_mark_eof(cw_req_t *req);

/* resp.c: whether the calling thread, which runs it, may send the response's first
 * byte.
 */
bool cw_req_claim(cw_req_t *req);

#endif
