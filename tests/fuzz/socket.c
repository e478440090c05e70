/* SPDX-License-Identifier: MIT */
/* Everything a WebSocket's client can send and do, against an app that does everything
 * one can do: bytes go through a socket into a real server in pieces, the app runs a
 * step at a time between the client's steps. The input's first bytes say how: the size
 * of the pieces, what the app does, what the client does and what else happens. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/h1.h"
#include "http/server_internal.h"
#include "http/ws_socket.h"

enum {
  LONG = 100 * 1024, /* a few of them are more than socket and high-water mark take */
};

/* What the app does, bits of the input's second byte. */
enum {
  READS = 1,    /* takes messages, */
  ECHOES = 2,   /* sends each back, */
  SHOUTS = 4,   /* or sends long ones at any time */
  CLOSES = 8,   /* closes half-way */
  RETURNS = 16, /* returns half-way, */
  FAILS = 32,   /* not as it should */
  LAGS = 64,    /* does one thing for each of the client's steps */
};

/* What the client does, and what else, bits of the third and fourth. */
enum {
  STALLS = 1,      /* reads nothing until the end */
  LEAVES = 2,      /* closes half-way */
  HALF_CLOSES = 4, /* sends FIN half-way */
  OFFERS = 8,      /* to compress */
  TIME_PASSES = 1, /* every clock runs out now and then */
  DRAINS = 2,      /* the worker stops half-way */
  KEEPS = 4,       /* contexts are kept between messages */
};

static const char handshake[] =
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
static const char offer[] =
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

static cw_server_t *srv;
static cw_req_t *req; /* NULL: the app has returned */
static bool waits;    /* the app does, as in cw_req_wait_nogil() */
static bool closed;   /* it has heard of the end */
static unsigned app, client, other;
static cw_ws_message_t unsent; /* its echo has to wait */
static char piece[LONG];
static cw_listener_t listener = {.fd = -1, .is_unix = 1, .host = "fuzz"};

static void on_ready(void *data, cw_req_t *ready) {
  assert(!req);
  req = ready;
}

static void on_blocking(void *data) {}

static void set_up(void) {
  static const cw_limits_t limits = {.head = 64 * 1024,
                                     .request_line = 512,
                                     .field_size = 512,
                                     .fields = 20,
                                     .idle = 60000,
                                     .header = 30000,
                                     .send = 60000,
                                     .ws_size = 64 * 1024,
                                     .ws_queue = 4,
                                     .ws_ping_interval = 20000,
                                     .ws_ping_timeout = 20000};
  const cw_host_t host = {.ready = on_ready, .blocking = on_blocking};
  const char *reason;
  srv = cw_server_new(&cw_h1, &listener, 0, &limits, &host, &reason);
  if (!srv) abort();
  cw_log_set_level(CW_LOG_CRITICAL);
}

static void finish(void) {
  cw_ws_message_free(&unsent);
  cw_req_finish(req, !(app & FAILS));
  req = NULL;
}

/* Whether the app may go on. */
static bool is_awake(void) {
  if (!waits) return true;
  if (!atomic_exchange(&req->event.set, 0)) return false;
  pthread_mutex_lock(&req->lock);
  req->waiting = false;
  pthread_mutex_unlock(&req->lock);
  waits = false;
  return true;
}

static bool send_echo(void) {
  int rc = cw_ws_send(req, unsent.kind == CW_WS_TEXT, unsent.data.p, unsent.data.len);
  if (rc == CW_WAIT) {
    waits = true;
    return false;
  }
  assert(rc == CW_OK || rc == CW_LOST);
  cw_ws_message_free(&unsent);
  return true;
}

static bool take(void) {
  int rc = cw_ws_receive(req, &unsent);
  if (rc == CW_WAIT) {
    waits = true;
    return false;
  }
  assert(rc == CW_OK);
  if (unsent.kind == CW_WS_CLOSED) {
    assert(unsent.code == 1005 || unsent.code == 1006 || cw_ws_is_code(unsent.code));
    closed = true;
  } else {
    assert(!closed && unsent.data.len <= 64 * 1024);
    if (app & ECHOES) return true;
  }
  cw_ws_message_free(&unsent);
  return true;
}

/* Whether the app got on. */
static bool step(void) {
  if (!req || !is_awake()) return false;
  if (closed) {
    assert(cw_ws_send(req, true, "x", 1) == CW_LOST);
    finish();
    return true;
  }
  if (unsent.memory) return send_echo();
  if (app & SHOUTS) {
    int rc = cw_ws_send(req, false, piece, LONG);
    waits = rc == CW_WAIT;
    if (waits) return false;
  }
  return app & READS ? take() : false;
}

/* All clocks that run now run out, as on_tick() would find them. */
static void pass_time(void) {
  cw_timer_t *t;
  cw_timer_kind_t kind;
  for (unsigned n = 2; n; n--) {
    t = cw_timeqs_expire(&srv->timers, uv_now(&srv->loop) + 1000 * 1000, &kind);
    if (!t) return;
    assert(kind != CW_TIMER_REQUEST);
    cw_conn_on_timer(CW_CONTAINER(t, cw_conn_t, timer));
  }
}

/* Loop and app get on. */
static void turn(void) {
  cw_server_turn(srv, false);
  for (int i = 0; i < 16 && step(); i++) {
    cw_server_turn(srv, false);
    if (app & LAGS) break;
  }
  cw_server_turn(srv, false);
}

/* Reads what has come. Returns whether it was the end of the connection. */
static bool receive(int fd) {
  static char sink[64 * 1024];
  for (;;) {
    ssize_t n = recv(fd, sink, sizeof(sink), 0);
    if (n <= 0) return n == 0 || errno != EAGAIN;
  }
}

/* The handshake. Returns the client's end. */
static int open_socket(void) {
  struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
  int fds[2];
  bool offers = client & OFFERS;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) abort();
  cw_conn_accept(srv, &listener, fds[0], &peer);
  srv->service.limits.ws_compression =
      other & KEEPS ? CW_WS_COMPRESS_CONTEXT : CW_WS_COMPRESS_ON;
  if (send(fds[1], handshake, sizeof(handshake) - 1, 0) < 0 ||
      (offers && send(fds[1], offer, sizeof(offer) - 1, 0) < 0) ||
      send(fds[1], "\r\n", 2, 0) < 0)
    abort();
  cw_server_turn(srv, false);
  assert(req && cw_req_is_websocket(req));
  if (cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0) != CW_OK) abort();
  return fds[1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 6) return 0;
  set_up();
  app = data[1];
  client = data[2];
  other = data[3];
  waits = closed = false;
  size_t piece_size = data[0] ? data[0] : size;
  int fd = open_socket();
  bool open = true;
  for (size_t at = 4; at < size && open; at += piece_size) {
    size_t n = CW_MIN(piece_size, size - at);
    bool late = at > size / 2;
    if (send(fd, data + at, n, MSG_NOSIGNAL) < 0) break; /* closed, or not read */
    turn();
    if (!(client & STALLS)) receive(fd);
    if (req && (app & CLOSES) && late)
      assert(cw_ws_close(req, 1000, "enough", 6) != CW_BAD);
    if (req && (app & RETURNS) && late) finish();
    if ((other & TIME_PASSES) && late) pass_time();
    if ((other & DRAINS) && late) cw_server_drain(srv);
    if ((client & HALF_CLOSES) && late) shutdown(fd, SHUT_WR);
    if ((client & LEAVES) && late) open = false;
  }
  app = (app & ECHOES) | READS;
  for (int i = 0; open && i < 20 && !receive(fd); i++) turn();
  close(fd);
  /* Whoever waits is told, and comes to an end. */
  for (int i = 0; i < 40 && req; i++) turn();
  assert(!req);
  for (int i = 0; i < 8; i++) cw_server_turn(srv, false);
  assert(cw_server_connections(srv) == 0 && srv->held == 0);
  cw_server_free(srv);
  return 0;
}
