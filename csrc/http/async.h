/* SPDX-License-Identifier: MIT */
/* Where requests that wait without a thread meet the loop that runs them: worker/ fills
 * this for asgi/. */
#ifndef CW_HTTP_ASYNC_H
#define CW_HTTP_ASYNC_H

#include "http/app.h"

/* `data` goes to each. All are for the thread of the event loop. */
typedef struct cw_async_host {
  void *data;
  /* Turns the server's loop for `ms` at most, -1: for ever, until something happens
   * that is for this thread. Returns CW_ASYNC_*. The GIL is not held. Where the event
   * loop waits elsewhere this does not wait. */
  int (*wait)(void *data, int64_t ms);
  /* A request to run, or one that was roused (*is_new tells); NULL: there is none. What
   * was roused is the thread's all the time. */
  cw_req_t *(*next)(void *data, bool *is_new);
  /* For cw_req_end_async(). */
  void (*unlist)(void *data, cw_req_t *req);
  /* An app is called, and its coroutine has ended, maybe long after its request. */
  void (*called)(void *data, cw_req_t *req);
  void (*ended)(void *data);
  /* A request was answered. */
  void (*served)(void *data);
  /* What the thread runs from here on; NULL: nothing of a request. Turns the
   * server's loop, without waiting, where that was long ago. */
  void (*note)(void *data, const cw_req_t *req);
  /* Its coroutine waits for something: the thread runs another. */
  void (*paused)(void *data, cw_req_t *req);
} cw_async_host_t;

/* What wait() found. */
enum {
  CW_ASYNC_FD = 1,       /* descriptors of the app's own may be ready */
  CW_ASYNC_CANCEL = 2,   /* the grace is about to end: cancel what runs */
  CW_ASYNC_FINISHED = 4, /* stopped, and all is done */
};

#endif
