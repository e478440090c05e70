/* SPDX-License-Identifier: MIT */
/* Where http/ and wsgi/ meet: a request to run, its body, its response.
 *
 * All functions here belong to the thread that runs the request, from the moment
 * the app's run() is called until it called cw_req_finish(). They never block and
 * need no GIL (so they may be called with it), except those named _nogil, which may
 * wait and must be called without it. Results: 0 or more is success, negative one
 * of cw_result_t. */
#ifndef CW_HTTP_APP_H
#define CW_HTTP_APP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

typedef struct cw_req cw_req_t;

typedef enum cw_result {
  CW_OK = 0,
  CW_WAIT = -1,  /* nothing now: call cw_req_wait_nogil() and try again */
  CW_LOST = -2,  /* the client is gone or broke its framing */
  CW_NOMEM = -3, /* out of memory */
  CW_BAD = -4,   /* the app's value breaks a rule of RFC 9110; see the function */
} cw_result_t;

typedef struct cw_field {
  cw_span_t name, value; /* as received; OWS around the value removed */
} cw_field_t;

/* What the request says. Read-only; lives as long as the request. */
typedef struct cw_head {
  cw_span_t method;
  cw_span_t target;      /* as received */
  cw_span_t path;        /* percent-decoded; "" for "*" */
  cw_span_t query;       /* without '?', as received */
  cw_span_t script_name; /* what a trusted proxy says; not in `path` then */
  cw_field_t *fields;
  unsigned n_fields;
  int minor;     /* 1 for HTTP/1.1 and later, 0 for HTTP/1.0 */
  bool has_body; /* a Content-Length or Transfer-Encoding was sent */
  bool chunked;
  bool upgrade;           /* it asks for another protocol (RFC 9110 section 7.8) */
  int64_t content_length; /* -1 where chunked or not given */
  const char *scheme;     /* "http" or "https" */
  const char *peer_addr;  /* "" on a Unix socket */
  const char *peer_port;
  const char *server_name;
  const char *server_port;
  const char *proxy_family; /* of a PROXY header: "TCP4", "TCP6"; NULL without one */
  const char *proxy_addr, *proxy_port; /* what the client connected to */
} cw_head_t;

/* The application as worker/ calls it. */
typedef struct cw_app {
  void *data;
  /* Runs one request to its end, including cw_req_finish(). Called with the GIL
   * where there is one. */
  void (*run)(void *data, cw_req_t *req);
} cw_app_t;

const cw_head_t *cw_req_head(const cw_req_t *req);

/* Whether the request's time was up before it began: it must not be run any more, only
 * finished. */
bool cw_req_expired(const cw_req_t *req);

/* The i-th environ variable that the access log wants to know, or NULL. Its value is
 * copied; what is not set stays "-". */
const char *cw_req_log_environ(const cw_req_t *req, unsigned i);
void cw_req_set_log_environ(cw_req_t *req, unsigned i, const char *p, size_t n);

/* Whether a response that sends nothing has nobody to send to: the client is known to
 * have left, or has closed its side a second ago. That one may still read (only a byte
 * that is sent would tell), so it is no reason to end a response that gets on. */
bool cw_req_abandoned(const cw_req_t *req);

/* Gives the connection of a request with an Upgrade field to the app: a duplicate of
 * its socket, the caller's, which has the socket's flags (it does not block). From then
 * on nothing is sent or read here; the rest of the response is dropped. -1 where it
 * cannot be had (errno may tell): a response has begun, early hints still wait for the
 * client to read them, the request's time is up, or bytes of the other protocol came
 * before it was agreed on. */
int cw_req_take_over(cw_req_t *req);
bool cw_req_taken_over(const cw_req_t *req);

/* Waits until the operation that answered CW_WAIT can go on, or the client is
 * lost. Sees to it that another thread turns the loop meanwhile. */
void cw_req_wait_nogil(cw_req_t *req);

/* ---- requests that wait without a thread ------------------------------------ */

/* From now on the end of a wait is told to the host's roused(), once for each CW_WAIT;
 * cw_req_wait_nogil() is not to be called. Baton held, before the request runs. */
void cw_req_set_async(cw_req_t *req);

/* What its thread wants to find by the request: NULL at first. That thread only. */
void cw_req_set_owner(cw_req_t *req, void *owner);
void *cw_req_owner(const cw_req_t *req);

/* Before cw_req_finish() of such a request: roused() is not called any more. Takes it
 * off the host's list by `unlist(data, req)`, under the request's lock. */
void cw_req_end_async(cw_req_t *req, void (*unlist)(void *data, cw_req_t *req),
                      void *data);

/* Has the host told when the client leaves or half-closes, too. */
void cw_req_watch_client(cw_req_t *req);

/* Whether its time is up, and the client answered where no response had begun. */
bool cw_req_overdue(const cw_req_t *req);

/* Whether the client has half-closed the connection. */
bool cw_req_half_closed(const cw_req_t *req);

/* Body bytes that can be taken now; *ended: no more will come behind them. */
size_t cw_body_available(cw_req_t *req, bool *ended);

/* Lets its response wait for the loop's next turn if it is small and whole, and small
 * messages of its WebSocket: the thread that runs the request turns the loop soon, and
 * has others to run first. Sent at once, each would wake its client, which on the same
 * CPUs delays the others. That thread. */
void cw_req_may_hold(cw_req_t *req, bool may);

/* Ends the request: the last call on `req`. `complete` false means that the app
 * failed or stopped before the body was whole: the connection is then aborted, so
 * that the client notices. Sends an error page with `status` (500) where no head was
 * sent. */
void cw_req_finish(cw_req_t *req, bool complete);

/* ---- request body ------------------------------------------------------- */

/* Takes up to `n` body bytes into `buf`; with `line`, no further than a newline.
 * Returns the count, 0 at the end of the body, CW_WAIT or CW_LOST. Sends
 * "100 Continue" where the client waits for it (RFC 9110 section 10.1.1). */
CW_MUSTCHECK ssize_t cw_body_take(cw_req_t *req, char *buf, size_t n, bool line);

/* Body bytes left where that is known (a Content-Length), else -1. */
int64_t cw_body_left(const cw_req_t *req);

/* Whether bytes of a chunked body have come, and none was taken. */
bool cw_body_untouched(cw_req_t *req);

/* Why the body cannot be read on although its client has not left: its framing is
 * broken, it came too slowly, it is too long. Static text; NULL where nothing is wrong
 * or the client left. *status (may be NULL) is the answer it deserves. */
const char *cw_body_error(cw_req_t *req, int *status);

#endif
