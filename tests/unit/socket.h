/* SPDX-License-Identifier: MIT */
/* A WebSocket over a socket pair: what the tests of ws*.c begin with. One thread is
 * loop, app and client. */
#ifndef CW_TESTS_SOCKET_H
#define CW_TESTS_SOCKET_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/ws_socket.h"
#include "unit/serve.h"

enum { MOST = 200 * 1024, QUEUE = 8 };

static const char handshake[] =
    "GET /chat?x=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n"
    "%sSec-WebSocket-Version: 13\r\n\r\n";

static const char answer[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

static cw_server_t *srv;
static cw_req_t *req;
static cw_conn_t *conn;
static int fd;
static char in[4 * 1024 * 1024]; /* what the client has received */
static size_t n_in;

static inline void on_ready(void *data, cw_req_t *ready) {
  assert_null(req);
  req = ready;
  conn = ready->conn;
}

static inline void start_with(cw_limits_t limits) {
  const cw_host_t host = {.ready = on_ready, .blocking = must_not_block};
  srv = serve(&cw_h1, &limits, &host);
  req = NULL;
  n_in = 0;
}

#define LIMITS                                                                 \
  USUAL_LIMITS, .ws_size = MOST, .ws_queue = QUEUE, .ws_ping_interval = 20000, \
                .ws_ping_timeout = 20000

/* As often as the longest message takes. */
static inline void turn(void) {
  for (int i = 0; i < 5; i++) cw_server_turn(srv, false);
}

/* The client reads what there is. Returns whether it was the end. */
static inline bool receive(void) {
  for (;;) {
    ssize_t n = recv(fd, in + n_in, sizeof(in) - n_in, MSG_DONTWAIT);
    if (n <= 0) return n == 0 || errno != EAGAIN;
    n_in += (size_t)n;
  }
}

/* Takes these bytes from the front of what was received. */
static inline void expect(const char *p, size_t n) {
  turn();
  (void)receive();
  if (n_in < n || memcmp(in, p, n) != 0) {
    for (size_t i = 0; i < n_in && i < 60; i++) fprintf(stderr, "%02x ", in[i] & 0xff);
    fail_msg("%zu bytes, not these %zu", n_in, n);
  }
  n_in -= n;
  memmove(in, in + n, n_in);
}

static inline void expect_nothing(void) {
  turn();
  assert_false(receive());
  assert_int_equal(n_in, 0);
}

#define EXPECT(text) expect((text), sizeof(text) - 1)

static inline void ask(const char *more) {
  char text[1024];
  snprintf(text, sizeof(text), handshake, more);
  fd = dial_by(srv, &service);
  send_text(fd, text);
  turn();
  assert_non_null(req);
}

static inline void open_with(cw_limits_t limits) {
  start_with(limits);
  ask("");
  assert_true(cw_req_is_websocket(req));
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_OK);
  expect(answer, sizeof(answer) - 1);
  EXPECT("\r\n");
  assert_ptr_equal(conn->protocol, &cw_websocket);
}

static inline void begin(void) {
  open_with((cw_limits_t){LIMITS});
}

/* The app returns, and the server is freed; the socket has to be over by then. */
static inline void finish(void) {
  if (req) cw_req_finish(req, true);
  req = NULL;
  for (int i = 0; i < 5; i++) turn();
  close(fd);
  for (int i = 0; i < 3; i++) turn();
  assert_int_equal(cw_server_connections(srv), 0);
  cw_server_free(srv);
}

/* A client's frame; `first` is its first byte. */
static inline void put(unsigned first, const char *p, size_t n) {
  static const uint8_t key[4] = {1, 2, 3, 4};
  char *out = malloc(n + 16);
  assert_non_null(out);
  size_t len = cw_ws_frame_head(out, CW_WS_OP_CONTINUATION, false, n);
  out[0] = (char)first;
  out[1] = (char)(out[1] | 0x80);
  memcpy(out + len, key, 4);
  cw_ws_unmask(out + len + 4, p, n, key, 0);
  for (size_t at = 0, all = len + 4 + n; at < all;) {
    ssize_t k = send(fd, out + at, all - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (k < 0) {
      assert_int_equal(errno, EAGAIN);
      turn();
      continue;
    }
    at += (size_t)k;
  }
  free(out);
}

static inline void say(const char *text) {
  put(0x81, text, strlen(text));
  turn();
}

static inline void take(cw_ws_kind_t kind, const char *text) {
  cw_ws_message_t m;
  assert_int_equal(cw_ws_receive(req, &m), CW_OK);
  assert_int_equal(m.kind, kind);
  assert_int_equal(m.data.len, strlen(text));
  assert_memory_equal(m.data.p, text, m.data.len);
  cw_ws_message_free(&m);
}

static inline void take_close(int code, const char *reason) {
  cw_ws_message_t m;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(cw_ws_receive(req, &m), CW_OK);
    assert_int_equal(m.kind, CW_WS_CLOSED);
    assert_int_equal(m.code, code);
    assert_int_equal(m.data.len, strlen(reason));
    assert_memory_equal(m.data.p, reason, m.data.len);
    cw_ws_message_free(&m);
  }
  assert_int_equal(cw_ws_send(req, true, "late", 4), CW_LOST);
  assert_int_equal(cw_ws_close(req, 1000, "", 0), CW_LOST);
}

static inline void must_wait(void) {
  cw_ws_message_t m;
  assert_int_equal(cw_ws_receive(req, &m), CW_WAIT);
}

/* Whether a thread that waits has been woken since the last look. */
static inline bool is_woken(void) {
  bool set = atomic_exchange(&req->event.set, 0);
  pthread_mutex_lock(&req->lock);
  if (set) req->waiting = false;
  pthread_mutex_unlock(&req->lock);
  return set;
}

/* The clock of this kind runs out. */
static inline void run_out(cw_timer_kind_t kind) {
  cw_timer_kind_t which;
  assert_true(cw_timer_runs(&conn->timer, kind));
  cw_timer_t *t =
      cw_timeqs_expire(&srv->timers, uv_now(&srv->loop) + 1000 * 1000, &which);
  assert_ptr_equal(t, &conn->timer);
  cw_conn_on_timer(conn);
}

#endif
