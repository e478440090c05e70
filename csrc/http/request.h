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
#include "base/schemes.h"
#include "http/account.h"
#include "http/blocks.h"
#include "http/chunked.h"
#include "http/limits.h"
#include "http/post.h"
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

/* How the protocol of a request sends its response. All in the thread that runs it,
 * without blocking; results as those of app.h. The response's head is in resp.head: a
 * status line and field lines as HTTP/1.1 has them, without an end and without framing.
 * The end of a request is no operation: it is posted (CW_POST_DONE). */
typedef struct cw_stream {
  /* The head, where it was not sent, and body bytes, as cw_resp_write(). */
  int (*send)(cw_req_t *req, const char *data, size_t n, bool last, size_t *taken);
  /* The same with a file's range, as cw_resp_write_file(). */
  int (*send_file)(cw_req_t *req, int fd, int64_t offset, int64_t len, int64_t *taken);
  /* Early hints; their fields are checked. */
  int (*send_hints)(cw_req_t *req, const cw_field_t *fields, unsigned n);
  /* A client that asked to be told may send the body. */
  void (*want_body)(cw_req_t *req);
  /* A duplicate of the socket, or -1 with errno. */
  int (*take_over)(cw_req_t *req);
} cw_stream_t;

/* What all requests of a server share. */
typedef struct cw_service {
  cw_limits_t limits;
  cw_host_t host;
  cw_schemes_t schemes; /* fields of trusted proxies that tell of https */
  cw_account_t account;
  cw_posts_t posts;
  atomic_bool draining; /* set by the loop, read by threads that end a head */
  cw_list_t pool;       /* baton: requests for reuse */
  unsigned n_pool;
  cw_blocks_t blocks; /* baton */
} cw_service_t;

struct cw_req {
  cw_head_t head; /* first: cw_req_head() */
  cw_service_t *service;
  const cw_stream_t *stream;
  struct cw_conn *conn; /* loop only: whose it is */
  int fd;               /* the socket, which lives as long as the request */
  bool trusted;         /* its proxy headers count */
  cw_post_t post;       /* its node: ready queue, post list or pool */
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

/* A new request of a connection whose socket is `fd`; NULL: no memory. Baton held for
 * these two. */
CW_MUSTCHECK cw_req_t *cw_req_new(cw_service_t *service, const cw_stream_t *stream,
                                  int fd);
void cw_req_free(cw_req_t *req);

/* Frees those that are kept for reuse. Baton held, no request is left. */
void cw_req_empty_pool(cw_service_t *service);

/* Nothing more can be read or sent: has its thread learn it. Baton held. */
void cw_req_mark_lost(cw_req_t *req);

/* resp.c: whether the calling thread, which runs it, may send the response's first
 * byte.
 */
bool cw_req_claim(cw_req_t *req);

/* ---- body.c; baton held ---------------------------------------------------- */

/* What becomes of body bytes. */
typedef enum cw_body_use {
  CW_BODY_GATHER, /* kept until the request runs */
  CW_BODY_STREAM, /* kept for the thread that runs it, which may be slow */
  CW_BODY_SKIP,   /* nobody wants them */
} cw_body_use_t;

/* Feeds received bytes to the open body. Returns how many were used, fewer than `n`
 * only at the body's end. *status is set where the body cannot go on: the framing is
 * broken (400), it is too long (413), there is no memory for it (503). */
size_t cw_body_feed(cw_req_t *req, const char *p, size_t n, cw_body_use_t use,
                    int *status);

/* Has the body keep the block that it came in, from `p` to its end. */
void cw_body_keep_block(cw_req_t *req, char *block, const char *p);

/* Gives the memory of the body back. */
void cw_body_free(cw_req_t *req);

/* A chunked body is complete before its request runs: from here on it is one with a
 * Content-Length (RFC 9112 section 7.1.3), which frameworks look for. Where memory is
 * short nothing changes. */
void cw_body_set_length(cw_req_t *req);

/* Has a running thread learn that the body cannot go on. `why` is static text. */
void cw_body_break(cw_req_t *req, int status, const char *why);

/* A window of so many ms in which more of the body was waited for is over, and bytes
 * `moved` or not. Returns NULL, or why it is given up. */
const char *cw_body_too_slow(cw_req_t *req, uint32_t window, bool moved);

/* Whether more of the body is to come. */
static inline bool cw_body_open(const cw_req_t *req) {
  /* Both are written by the loop alone: no lock to read them. */
  return !req->body.complete && !req->body.broken;
}

/* ---- out.c ------------------------------------------------------------------ */

/* Bytes of the response that wait for the loop to send them; under req->lock, or where
 * no thread runs the request. */
int64_t cw_out_pending(const cw_req_t *req);

/* Sends what `out` holds; under req->lock. 0: all gone, CW_WAIT, CW_LOST. Baton held.
 */
CW_MUSTCHECK int cw_out_flush_locked(cw_req_t *req);

#endif
