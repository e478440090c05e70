/* SPDX-License-Identifier: MIT */
/* What a running thread may tell the loop: all that its side of http/ knows of it. */
#ifndef CW_HTTP_POST_H
#define CW_HTTP_POST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "base/list.h"
#include "base/macros.h"
#include "http/app.h"

/* Messages; several for one request are one. */
enum {
  CW_POST_DONE = 1,   /* the request is over: the last one */
  CW_POST_RESUME = 2, /* the body buffer has room again */
  CW_POST_WRITE = 4,  /* tell me when the socket takes bytes, or flush `out` */
  CW_POST_SWITCH = 8, /* it is a WebSocket from here on, */
  CW_POST_CLOSE = 16, /* and its close was sent */
};

/* Part of a request. */
typedef struct cw_post {
  cw_list_t node;        /* the host's while the request waits to be run */
  bool posted;           /* under the lock: on the list */
  int what;              /* under the lock: CW_POST_* */
  atomic_bool attention; /* set by the loop: its end must end a wait */
} cw_post_t;

typedef struct cw_posts {
  pthread_mutex_t lock; /* taken after a request's own lock, where both are needed */
  cw_list_t list;       /* under lock */
  atomic_bool any;      /* changed under lock: the list is not empty */
  atomic_bool waiting;  /* the loop is in a turn, and may wait */
  atomic_bool eager;    /* set by the loop: any end must end its wait */
  uv_async_t wake;
} cw_posts_t;

/* Returns 0 or a libuv error. The handle is to be closed by cw_posts_close(), and the
 * loop run, before cw_posts_fini(). Baton held for all three. */
CW_MUSTCHECK int cw_posts_init(cw_posts_t *posts, uv_loop_t *loop);
void cw_posts_close(cw_posts_t *posts);
void cw_posts_fini(cw_posts_t *posts);

/* Any thread that has the request. `urgent` ends a waiting turn. After CW_POST_DONE the
 * request may be the loop's. */
void cw_post(cw_posts_t *posts, cw_post_t *post, int what, bool urgent);

/* The next message, and what it says; NULL where there is none. Baton held. */
cw_post_t *cw_posts_take(cw_posts_t *posts, int *what);

/* Whether one of this request's waits to be taken. Any thread. */
bool cw_post_waits(cw_posts_t *posts, cw_post_t *post);

/* Ends a waiting turn: in any case, or if there are messages that it was not worth
 * ending for. Any thread. */
void cw_posts_wake(cw_posts_t *posts);
void cw_posts_nudge(cw_posts_t *posts);

#endif
