/* SPDX-License-Identifier: MIT */
/* What a request sees of the server and of its protocol. */
#ifndef CW_HTTP_SERVICE_H
#define CW_HTTP_SERVICE_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/schemes.h"
#include "http/account.h"
#include "http/blocks.h"
#include "http/limits.h"
#include "http/post.h"
#include "http/ws_deflate.h"

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
  atomic_bool roused;   /* a request of an event loop, since this turn began */
  cw_list_t pool;       /* baton: requests for reuse */
  unsigned n_pool;
  cw_blocks_t blocks; /* baton */
  cw_ws_stock_t ws_stock;
} cw_service_t;

#endif
