/* SPDX-License-Identifier: MIT */
/* What a server is told when it is made: its limits, and who runs requests. */
#ifndef CW_HTTP_LIMITS_H
#define CW_HTTP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/choices.h"
#include "http/app.h"
#include "http/proxy_header.h"

/* What the worker does for the HTTP side. */
typedef struct cw_host {
  void *data;
  /* A request is complete enough to run. Baton held; takes the request. */
  void (*ready)(void *data, cw_req_t *req);
  /* The calling app thread is about to wait: let another thread turn the loop. */
  void (*blocking)(void *data);
  /* The request's time is up, and its client has its answer where none had begun. It
   * may run, wait for a thread, or be just about to end; it stays valid during the
   * call. Baton held. May be NULL. */
  void (*expired)(void *data, cw_req_t *req);
  /* Whether to take a connection that waits at one of the service's own addresses, now;
   * where not, the host has them held (cw_server_hold_accept()). Baton held. May be
   * NULL: always. */
  bool (*accepts)(void *data);
  /* What a request that waits without a thread (cw_req_set_async()) waits for may be
   * there, its client has left, or its time is up: cw_req_overdue() tells. Under the
   * request's lock, from any thread: it only notes it. Not NULL where there are such.
   */
  void (*roused)(void *data, cw_req_t *req);
} cw_host_t;

typedef struct cw_limits {
  size_t head;                     /* bytes of a whole header section */
  size_t request_line, field_size; /* bytes; at most `head` */
  unsigned fields;
  int64_t body;             /* bytes; 0: none */
  int64_t buffer_body;      /* bytes */
  size_t buffer_memory;     /* bytes of requests that are still coming; 0: no limit */
  int64_t idle, header;     /* ms; idle: between two requests, 0: not at all */
  int64_t send;             /* ms a client may take no response bytes */
  int64_t body_pause;       /* ms between two pieces of a body; 0: any, at any rate */
  int64_t rate;             /* least bytes/s of a body in either direction; 0: none */
  unsigned connections;     /* open at once; 0: no limit */
  cw_networks_t trusted;    /* whose word on the client counts; borrowed */
  unsigned proxy_headers;   /* CW_SAYS_*: what they may say beside the scheme */
  bool clear_proxy_headers; /* what does not count is not for the app */
  cw_networks_t proxies;    /* who may send a PROXY header; borrowed */
  cw_proxy_mode_t proxy_mode;
  cw_underscores_t underscores;
  int64_t request_timeout; /* ms from complete to the response's end; 0: none */
  size_t ws_size;          /* bytes of a WebSocket message; 0: any */
  unsigned ws_queue;       /* messages unread before reading pauses */
  int64_t ws_ping_interval, ws_ping_timeout; /* ms; 0: none */
  cw_ws_compression_t ws_compression;
  /* All texts are borrowed; NULL: not asked for. */
  const char *health;        /* path that is answered here */
  const char *metrics;       /* path of the metrics on the service's listeners */
  const char *access_log;    /* file, or "-" */
  const char *access_format; /* as cw_access_format_check() takes it */
  bool access_syslog;        /* the access log goes to syslog, too */
  const char *statsd;        /* "HOST:PORT" or "unix://PATH" */
  const char *statsd_prefix, *statsd_tags;
  const char *secure_schemes;    /* "NAME=VALUE,..."; NULL: the usual ones */
  const char *forwarder_headers; /* names with underscores that the
                                    trusted may send; NULL: none */
} cw_limits_t;

/* Bytes that one connection may hold at most. Any thread. */
size_t cw_conn_most(const cw_limits_t *limits);

#endif
