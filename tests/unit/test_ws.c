/* SPDX-License-Identifier: MIT */
/* WebSockets over socket pairs: messages there and back, pressure in both directions,
 * pings, every way to close, a worker that stops. One thread is loop, app and client.
 */
#include "unit/unit.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "http/out.h"
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

static void on_ready(void *data, cw_req_t *ready) {
  assert_null(req);
  req = ready;
  conn = ready->conn;
}

static void start_with(cw_limits_t limits) {
  const cw_host_t host = {.ready = on_ready, .blocking = must_not_block};
  srv = serve(&cw_h1, &limits, &host);
  req = NULL;
  n_in = 0;
}

#define LIMITS                                                                 \
  USUAL_LIMITS, .ws_size = MOST, .ws_queue = QUEUE, .ws_ping_interval = 20000, \
                .ws_ping_timeout = 20000

/* As often as the longest message takes. */
static void turn(void) {
  for (int i = 0; i < 5; i++) cw_server_turn(srv, false);
}

/* The client reads what there is. Returns whether it was the end. */
static bool receive(void) {
  for (;;) {
    ssize_t n = recv(fd, in + n_in, sizeof(in) - n_in, MSG_DONTWAIT);
    if (n <= 0) return n == 0 || errno != EAGAIN;
    n_in += (size_t)n;
  }
}

/* Takes these bytes from the front of what was received. */
static void expect(const char *p, size_t n) {
  turn();
  (void)receive();
  if (n_in < n || memcmp(in, p, n) != 0) {
    for (size_t i = 0; i < n_in && i < 60; i++) fprintf(stderr, "%02x ", in[i] & 0xff);
    fail_msg("%zu bytes, not these %zu", n_in, n);
  }
  n_in -= n;
  memmove(in, in + n, n_in);
}

static void expect_nothing(void) {
  turn();
  assert_false(receive());
  assert_int_equal(n_in, 0);
}

#define EXPECT(text) expect((text), sizeof(text) - 1)

static void ask(const char *more) {
  char text[1024];
  snprintf(text, sizeof(text), handshake, more);
  fd = dial_by(srv, &service);
  send_text(fd, text);
  turn();
  assert_non_null(req);
}

static void open_with(cw_limits_t limits) {
  start_with(limits);
  ask("");
  assert_true(cw_req_is_websocket(req));
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_OK);
  expect(answer, sizeof(answer) - 1);
  EXPECT("\r\n");
  assert_ptr_equal(conn->protocol, &cw_websocket);
}

static void begin(void) {
  open_with((cw_limits_t){LIMITS});
}

/* The app returns, and the server is freed; the socket has to be over by then. */
static void finish(void) {
  if (req) cw_req_finish(req, true);
  req = NULL;
  for (int i = 0; i < 5; i++) turn();
  close(fd);
  for (int i = 0; i < 3; i++) turn();
  assert_int_equal(cw_server_connections(srv), 0);
  cw_server_free(srv);
}

/* A client's frame; `first` is its first byte. */
static void put(unsigned first, const char *p, size_t n) {
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

static void say(const char *text) {
  put(0x81, text, strlen(text));
  turn();
}

static void take(cw_ws_kind_t kind, const char *text) {
  cw_ws_message_t m;
  assert_int_equal(cw_ws_receive(req, &m), CW_OK);
  assert_int_equal(m.kind, kind);
  assert_int_equal(m.data.len, strlen(text));
  assert_memory_equal(m.data.p, text, m.data.len);
  cw_ws_message_free(&m);
}

static void take_close(int code, const char *reason) {
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

static void must_wait(void) {
  cw_ws_message_t m;
  assert_int_equal(cw_ws_receive(req, &m), CW_WAIT);
}

/* Whether a thread that waits has been woken since the last look. */
static bool is_woken(void) {
  bool set = atomic_exchange(&req->event.set, 0);
  pthread_mutex_lock(&req->lock);
  if (set) req->waiting = false;
  pthread_mutex_unlock(&req->lock);
  return set;
}

/* The clock of this kind runs out. */
static void run_out(cw_timer_kind_t kind) {
  cw_timer_kind_t which;
  assert_true(cw_timer_runs(&conn->timer, kind));
  cw_timer_t *t =
      cw_timeqs_expire(&srv->timers, uv_now(&srv->loop) + 1000 * 1000, &which);
  assert_ptr_equal(t, &conn->timer);
  cw_conn_on_timer(conn);
}

/* ---- messages -------------------------------------------------------------------- */

static void messages_there_and_back(void **state) {
  begin();
  must_wait();
  assert_false(is_woken());
  say("hello");
  assert_true(is_woken());
  put(0x82, "\xff\xfe", 2);
  put(0x01, "in ", 3);
  turn();
  put(0x80, "two", 3);
  turn();
  take(CW_WS_TEXT, "hello");
  take(CW_WS_BINARY, "\xff\xfe");
  take(CW_WS_TEXT, "in two");
  must_wait();
  assert_int_equal(cw_ws_send(req, true, "hi", 2), CW_OK);
  assert_int_equal(cw_ws_send(req, false, "\x00\x01", 2), CW_OK);
  assert_int_equal(cw_ws_send(req, true, "", 0), CW_OK);
  EXPECT("\x81\x02hi\x82\x02\x00\x01\x81\x00");
  finish();
}

/* Frames that came behind the handshake, before it was answered. */
static void early_frames(void **state) {
  start_with((cw_limits_t){LIMITS});
  ask("");
  say("early");
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_OK);
  turn();
  take(CW_WS_TEXT, "early");
  finish();
}

static void long_messages(void **state) {
  static char text[MOST + 1];
  cw_ws_message_t m;
  memset(text, 'x', sizeof(text));
  begin();
  put(0x82, text, MOST);
  turn();
  assert_int_equal(cw_ws_receive(req, &m), CW_OK);
  assert_int_equal(m.data.len, MOST);
  cw_ws_message_free(&m);
  put(0x82, text, 100);
  put(0x02, text, MOST);
  turn();
  put(0x80, text, 1);
  turn();
  assert_int_equal(cw_ws_receive(req, &m), CW_OK);
  assert_int_equal(m.data.len, 100);
  cw_ws_message_free(&m);
  take_close(1009, "");
  EXPECT("\x88\x02\x03\xf1");
  finish();
}

/* ---- pressure -------------------------------------------------------------------- */

static void reading_stops_for_an_app_that_does_not(void **state) {
  begin();
  for (int i = 0; i < QUEUE + 3; i++) say("x");
  assert_true(req->ws->paused);
  assert_int_equal(req->ws->queued, QUEUE);
  assert_false(conn->events & UV_READABLE);
  for (int i = 0; i < QUEUE / 2 - 1; i++) take(CW_WS_TEXT, "x");
  turn();
  assert_true(req->ws->paused);
  take(CW_WS_TEXT, "x");
  turn();
  assert_true(conn->events & UV_READABLE);
  for (int i = 0; i < QUEUE / 2 + 3; i++) {
    take(CW_WS_TEXT, "x");
    turn();
  }
  must_wait();
  finish();
}

/* Many messages that come at once: what is not queued is kept, and nothing is lost. */
static void a_burst_is_kept(void **state) {
  enum { MANY = 100 };
  char frames[MANY * 7], text[2] = "";
  begin();
  for (int i = 0; i < MANY; i++)
    memcpy(frames + 7 * i, "\x81\x81\0\0\0\0", 6),
        frames[7 * i + 6] = (char)('0' + i % 10);
  assert_int_equal(send(fd, frames, sizeof(frames), 0), sizeof(frames));
  turn();
  assert_int_equal(req->ws->queued, QUEUE);
  for (int i = 0; i < MANY; i++) {
    text[0] = (char)('0' + i % 10);
    take(CW_WS_TEXT, text);
    turn();
  }
  must_wait();
  assert_null(conn->in.p);
  finish();
}

static void long_messages_fill_the_queue_by_their_bytes(void **state) {
  static char text[40 * 1024];
  cw_ws_message_t m;
  begin();
  for (int i = 0; i < 3; i++) put(0x82, text, sizeof(text));
  turn();
  assert_true(req->ws->paused && req->ws->queued == 2);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(cw_ws_receive(req, &m), CW_OK);
    assert_int_equal(m.data.len, sizeof(text));
    cw_ws_message_free(&m);
    turn();
  }
  must_wait();
  finish();
}

/* A message goes whole or not at all. */
static void sending_waits_for_a_client_that_does_not_read(void **state) {
  static char text[100 * 1024];
  int sent = 0, rc;
  size_t got = 0;
  begin();
  memset(text, 'y', sizeof(text));
  while ((rc = cw_ws_send(req, false, text, sizeof(text))) == CW_OK) {
    turn();
    assert_true(++sent < 100);
  }
  assert_int_equal(rc, CW_WAIT);
  assert_true(cw_out_pending(req) < CW_OUT_HIGH + (int64_t)sizeof(text) + 16);
  assert_true(cw_timer_runs(&conn->timer, CW_TIMER_STALL));
  assert_false(is_woken());
  while (!is_woken()) {
    (void)receive();
    got += n_in;
    n_in = 0;
    turn();
  }
  assert_int_equal(cw_ws_send(req, false, text, sizeof(text)), CW_OK);
  sent++;
  const size_t all = (size_t)sent * (sizeof(text) + 10);
  for (int i = 0; i < 1000 && got < all; i++) {
    turn();
    (void)receive();
    got += n_in;
    n_in = 0;
  }
  assert_int_equal(got, all);
  turn();
  assert_false(conn->want_write);
  assert_true(cw_timer_runs(&conn->timer, CW_TIMER_PING));
  assert_null(req->out.buf.p);
  finish();
}

static void who_does_not_read_at_all_is_lost(void **state) {
  static char text[100 * 1024];
  begin();
  while (cw_ws_send(req, false, text, sizeof(text)) == CW_OK) turn();
  turn();
  must_wait();
  run_out(CW_TIMER_STALL);
  assert_true(is_woken());
  take_close(1006, "");
  assert_int_equal(conn->why, CW_END_STALLED);
  finish();
}

/* Pings that nobody reads the answers of do not fill the memory. */
static void a_flood_of_pings(void **state) {
  static char ping[64 * 131];
  begin();
  for (int i = 0; i < 64; i++) memcpy(ping + 131 * i, "\x89\xfd\0\0\0\0", 6);
  for (int i = 0; i < 1000; i++) {
    if (send(fd, ping, sizeof(ping), MSG_DONTWAIT) < 0) assert_int_equal(errno, EAGAIN);
    turn();
    assert_true(cw_out_pending(req) < CW_OUT_HIGH + 200);
  }
  assert_true(cw_out_pending(req) >= CW_OUT_HIGH);
  cw_req_finish(req, true);
  req = NULL;
  turn();
  run_out(CW_TIMER_CLOSE);
  assert_int_equal(cw_server_connections(srv), 0);
  close(fd);
  turn();
  cw_server_free(srv);
}

/* ---- pings ------------------------------------------------------------- */

static void pings_of_the_client_are_answered(void **state) {
  begin();
  put(0x89, "are you there", 13);
  EXPECT(
      "\x8a\x0d"
      "are you there");
  put(0x89, "", 0);
  EXPECT("\x8a\x00");
  put(0x8a, "unasked", 7);
  expect_nothing();
  finish();
}

static void our_pings(void **state) {
  begin();
  run_out(CW_TIMER_PING);
  EXPECT("\x89\x04\0\0\0\0");
  put(0x8a, "\0\0\0\0", 4);
  turn();
  assert_true(cw_timer_runs(&conn->timer, CW_TIMER_PING));
  run_out(CW_TIMER_PING);
  EXPECT("\x89\x04\1\0\0\0");
  /* What else it sends is a sign of life, too. */
  put(0x01, "long", 4);
  turn();
  run_out(CW_TIMER_PONG);
  must_wait();
  run_out(CW_TIMER_PONG);
  assert_true(is_woken());
  take_close(1011, "");
  EXPECT("\x88\x02\x03\xf3");
  assert_true(receive());
  run_out(CW_TIMER_CLOSE);
  assert_int_equal(conn->why, CW_END_WS_SILENT);
  finish();
}

/* Whose pongs nobody looks at is not to blame. */
static void no_pong_is_missed_while_the_app_does_not_read(void **state) {
  begin();
  run_out(CW_TIMER_PING);
  for (int i = 0; i < QUEUE; i++) say("x");
  run_out(CW_TIMER_PONG);
  run_out(CW_TIMER_PONG);
  put(0x8a, "\0\0\0\0", 4);
  for (int i = 0; i < QUEUE; i++) take(CW_WS_TEXT, "x");
  turn();
  run_out(CW_TIMER_PING);
  finish();
}

static void no_pings_where_none_are_asked_for(void **state) {
  open_with((cw_limits_t){USUAL_LIMITS, .ws_size = MOST, .ws_queue = QUEUE});
  assert_false(cw_timer_runs(&conn->timer, CW_TIMER_PING));
  finish();
}

/* ---- the end ----------------------------------------------------------- */

static void the_client_closes(void **state) {
  begin();
  say("last");
  put(0x88,
      "\x03\xe9"
      "bye",
      5);
  turn();
  take(CW_WS_TEXT, "last");
  take_close(1001, "bye");
  EXPECT("\x88\x02\x03\xe9");
  assert_true(receive()); /* the server hangs up first */
  finish();
}

static void the_client_closes_without_a_code(void **state) {
  begin();
  put(0x88, "", 0);
  turn();
  take_close(1005, "");
  EXPECT("\x88\x00");
  finish();
}

static void the_app_closes(void **state) {
  begin();
  assert_int_equal(cw_ws_close(req, 1005, "", 0), CW_BAD);
  assert_int_equal(cw_ws_close(req, 1000, "\xff", 1), CW_BAD);
  char reason[CW_WS_REASON_MAX + 2] = "";
  memset(reason, 'r', CW_WS_REASON_MAX);
  assert_int_equal(cw_ws_close(req, 1000, reason, CW_WS_REASON_MAX + 1), CW_BAD);
  assert_int_equal(cw_ws_close(req, 3000, reason, CW_WS_REASON_MAX), CW_OK);
  EXPECT("\x88\x7d\x0b\xb8");
  expect(reason, CW_WS_REASON_MAX);
  assert_true(cw_timer_runs(&conn->timer, CW_TIMER_CLOSE));
  say("too late");
  take_close(3000, reason);
  put(0x88, "\x0b\xb8", 2);
  turn();
  assert_true(receive());
  finish();
}

static void the_app_returns(void **state) {
  begin();
  say("unread");
  cw_req_finish(req, true);
  req = NULL;
  EXPECT("\x88\x02\x03\xe8");
  assert_int_equal(cw_server_connections(srv), 1);
  put(0x88, "\x03\xe8", 2);
  turn();
  assert_true(receive());
  finish();
}

/* Reading was stopped: the client's close is seen all the same. */
static void the_app_returns_with_a_full_queue(void **state) {
  begin();
  for (int i = 0; i < QUEUE + 2; i++) say("unread");
  put(0x88, "\x03\xe8", 2);
  turn();
  cw_req_finish(req, true);
  req = NULL;
  EXPECT("\x88\x02\x03\xe8");
  turn();
  assert_true(receive());
  finish();
}

static void the_app_fails(void **state) {
  begin();
  cw_req_finish(req, false);
  req = NULL;
  EXPECT("\x88\x02\x03\xf3");
  finish();
}

static void a_close_is_not_waited_for_for_ever(void **state) {
  begin();
  cw_req_finish(req, true);
  req = NULL;
  EXPECT("\x88\x02\x03\xe8");
  run_out(CW_TIMER_CLOSE);
  assert_int_equal(cw_server_connections(srv), 0);
  finish();
}

static void the_client_leaves(void **state) {
  begin();
  say("last");
  close(fd);
  turn();
  take(CW_WS_TEXT, "last");
  take_close(1006, "");
  fd = -1;
  finish();
}

static void a_client_that_breaks_the_rules(void **state) {
  begin();
  say("good");
  put(0x83, "bad", 3);
  say("never seen");
  take(CW_WS_TEXT, "good");
  take_close(1002, "");
  EXPECT("\x88\x02\x03\xea");
  assert_true(receive());
  finish();
  begin();
  put(0x81, "\xff", 1);
  turn();
  take_close(1007, "");
  EXPECT("\x88\x02\x03\xef");
  finish();
}

/* A close that the socket does not take leaves before the connection ends. */
static void a_close_behind_much(void **state) {
  static char text[100 * 1024];
  begin();
  while (cw_ws_send(req, false, text, sizeof(text)) == CW_OK) turn();
  put(0x88, "\x03\xe8", 2);
  turn();
  assert_true(conn->want_write);
  cw_req_finish(req, true);
  req = NULL;
  bool over = false;
  for (int i = 0; i < 1000 && !over; i++) {
    turn();
    over = receive();
    if (!over) n_in = 0;
  }
  assert_true(over && n_in >= 4);
  assert_memory_equal(in + n_in - 4, "\x88\x02\x03\xe8", 4);
  finish();
}

/* Who reads slowly gets all that the app sent before it returned. */
static void a_slow_reader_is_waited_for(void **state) {
  static char text[100 * 1024];
  begin();
  while (cw_ws_send(req, false, text, sizeof(text)) == CW_OK) turn();
  cw_req_finish(req, true);
  req = NULL;
  turn();
  bool over = false;
  for (int i = 0; i < 1000 && !over; i++) {
    ssize_t n = recv(fd, in, 50 * 1024, 0);
    over = n <= 0;
    if (n >= 4 && memcmp(in + n - 4, "\x88\x02\x03\xe8", 4) == 0) break;
    turn();
    if (conn->want_write && conn->moved) run_out(CW_TIMER_CLOSE);
  }
  assert_false(over);
  run_out(CW_TIMER_CLOSE);
  assert_int_equal(cw_server_connections(srv), 0);
  finish();
}

static void a_worker_that_stops(void **state) {
  begin();
  say("before");
  cw_server_drain(srv);
  EXPECT("\x88\x02\x03\xf4");
  say("after");
  take(CW_WS_TEXT, "before");
  take_close(1012, "");
  put(0x88, "\x03\xf4", 2);
  turn();
  finish();
}

static void a_worker_that_stops_before_it_is_open(void **state) {
  start_with((cw_limits_t){LIMITS});
  ask("");
  cw_server_drain(srv);
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_OK);
  turn();
  take_close(1012, "");
  finish();
}

/* The worker has stopped: neither thread nor handshake is waited for. */
static void a_worker_that_has_stopped(void **state) {
  begin();
  say("unread");
  cw_server_free(srv);
  close(fd);
  start_with((cw_limits_t){LIMITS});
  ask("");
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_OK);
  cw_server_free(srv); /* the loop has not heard of it */
  close(fd);
}

/* ---- compression ------------------------------------------------------- */

static void compressed_messages(void **state) {
  static const char text[] =
      "a text that is long enough, long enough, long enough, long enough, long enough";
  start_with((cw_limits_t){LIMITS, .ws_compression = CW_WS_COMPRESS_ON});
  ask("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_OK);
  expect(answer, sizeof(answer) - 1);
  EXPECT(
      "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
      "client_no_context_takeover\r\n\r\n");
  put(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
  turn();
  take(CW_WS_TEXT, "Hello");
  assert_int_equal(cw_ws_send(req, true, "short", 5), CW_OK);
  EXPECT("\x81\x05short");
  assert_int_equal(cw_ws_send(req, true, text, strlen(text)), CW_OK);
  turn();
  (void)receive();
  assert_int_equal((unsigned char)in[0], 0xc1);
  assert_true((size_t)in[1] == n_in - 2 && n_in < strlen(text));
  /* It comes back as it is. */
  put(0xc1, in + 2, n_in - 2);
  turn();
  take(CW_WS_TEXT, text);
  assert_true(!req->ws->deflate.in && !req->ws->deflate.out);
  finish();
}

/* ---- with a thread --------------------------------------------------------------- */

static void let_turn(void *data) {}

/* Echoes until the socket is closed, as an app with a thread of its own does. */
static void *echo(void *data) {
  cw_req_t *mine = data;
  cw_ws_message_t m;
  for (bool open = true; open;) {
    int rc;
    while ((rc = cw_ws_receive(mine, &m)) == CW_WAIT) cw_req_wait_nogil(mine);
    open = rc == CW_OK && m.kind != CW_WS_CLOSED;
    while (open && (rc = cw_ws_send(mine, m.kind == CW_WS_TEXT, m.data.p,
                                    m.data.len)) == CW_WAIT)
      cw_req_wait_nogil(mine);
    open &= rc == CW_OK;
    cw_ws_message_free(&m);
  }
  cw_req_finish(mine, true);
  return NULL;
}

/* Loop and app run at the same time; the client sends ahead and reads behind. */
static void an_echo_in_another_thread(void **state) {
  enum { MANY = 400, BIG = 5000 };
  static char text[BIG], frame[BIG + 4];
  const cw_limits_t limits = {LIMITS};
  const cw_host_t host = {.ready = on_ready, .blocking = let_turn};
  pthread_t app;
  size_t want = 0, checked = 0;
  srv = serve(&cw_h1, &limits, &host);
  req = NULL;
  n_in = 0;
  ask("");
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_OK);
  expect(answer, sizeof(answer) - 1);
  EXPECT("\r\n");
  assert_int_equal(pthread_create(&app, NULL, echo, req), 0);
  req = NULL;
  for (int i = 0; i < MANY; i++) {
    memset(text, 'a' + i % 26, sizeof(text));
    put(0x82, text, sizeof(text));
    put(0x89, "?", 1);
    want += sizeof(text) + 4 + 3;
    turn();
    (void)receive();
  }
  while (n_in < want) {
    turn();
    assert_false(receive());
  }
  assert_int_equal(n_in, want);
  /* Pongs may come anywhere between two messages. */
  int messages = 0, pongs = 0;
  while (checked < n_in) {
    if (memcmp(in + checked, "\x8a\x01?", 3) == 0) {
      checked += 3;
      pongs++;
      continue;
    }
    memcpy(frame, "\x82\x7e\x13\x88", 4);
    memset(frame + 4, 'a' + messages % 26, sizeof(text));
    assert_memory_equal(in + checked, frame, sizeof(frame));
    checked += sizeof(frame);
    messages++;
  }
  assert_int_equal(messages, MANY);
  assert_int_equal(pongs, MANY);
  put(0x88, "\x03\xe8", 2);
  while (!receive()) turn();
  assert_int_equal(pthread_join(app, NULL), 0);
  finish();
}

/* ---- what it costs ----------------------------------------------------- */

/* All that an idle socket holds, once messages have come and gone: by malloc's own
 * count, which sanitizers do not have. */
static void an_idle_socket_is_small(void **state) {
  begin();
  say("x");
  take(CW_WS_TEXT, "x");
  assert_int_equal(cw_ws_send(req, true, "y", 1), CW_OK);
  turn();
  assert_null(conn->in.p);
  assert_null(req->out.buf.p);
  assert_null(req->resp.head.p);
  assert_null(req->body.buf.p);
  assert_null(req->arena.extra);
  assert_null(req->ws->reader.data);
  assert_int_equal(cw_req_head(req)->n_fields, 0);
  assert_int_equal(cw_req_head(req)->path.len, 5);
  assert_memory_equal(cw_req_head(req)->path.p, "/chat", 5);
  size_t n = sizeof(*conn) + cw_h1.size + sizeof(*req) + sizeof(*req->ws) +
             malloc_usable_size(req->first_block);
  if (n > 2048 - 4 * 16)
    fail_msg("%zu: connection %zu, request %zu, socket %zu, names %zu", n,
             sizeof(*conn) + cw_h1.size, sizeof(*req), sizeof(*req->ws),
             malloc_usable_size(req->first_block));
  finish();
}

/* Each allocation fails once, and nothing is lost or left. */
static void without_memory(void **state) {
  for (long n = 1;; n++) {
    cw_ws_message_t m;
    start_with((cw_limits_t){LIMITS, .ws_compression = CW_WS_COMPRESS_ON});
    ask("Sec-WebSocket-Extensions: permessage-deflate\r\n");
    cw_fault_arm(n);
    int rc = cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0);
    if (rc == CW_OK) {
      turn();
      put(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
      put(0x01, "text", 4);
      turn();
      put(0x80, " ends", 5);
      turn();
      put(0x88, "\x03\xe8why", 5);
      turn();
      while ((rc = cw_ws_receive(req, &m)) == CW_OK) {
        cw_ws_kind_t kind = m.kind;
        cw_ws_message_free(&m);
        if (kind == CW_WS_CLOSED) break;
      }
      assert_int_equal(rc, CW_OK);
    }
    bool failed = cw_fault_left() == 0;
    cw_fault_arm(0);
    finish();
    if (!failed) break;
    assert_true(n < 100);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_there_and_back),
      cmocka_unit_test(early_frames),
      cmocka_unit_test(long_messages),
      cmocka_unit_test(reading_stops_for_an_app_that_does_not),
      cmocka_unit_test(a_burst_is_kept),
      cmocka_unit_test(long_messages_fill_the_queue_by_their_bytes),
      cmocka_unit_test(sending_waits_for_a_client_that_does_not_read),
      cmocka_unit_test(who_does_not_read_at_all_is_lost),
      cmocka_unit_test(a_flood_of_pings),
      cmocka_unit_test(pings_of_the_client_are_answered),
      cmocka_unit_test(our_pings),
      cmocka_unit_test(no_pong_is_missed_while_the_app_does_not_read),
      cmocka_unit_test(no_pings_where_none_are_asked_for),
      cmocka_unit_test(the_client_closes),
      cmocka_unit_test(the_client_closes_without_a_code),
      cmocka_unit_test(the_app_closes),
      cmocka_unit_test(the_app_returns),
      cmocka_unit_test(the_app_returns_with_a_full_queue),
      cmocka_unit_test(the_app_fails),
      cmocka_unit_test(a_close_is_not_waited_for_for_ever),
      cmocka_unit_test(the_client_leaves),
      cmocka_unit_test(a_client_that_breaks_the_rules),
      cmocka_unit_test(a_close_behind_much),
      cmocka_unit_test(a_slow_reader_is_waited_for),
      cmocka_unit_test(a_worker_that_stops),
      cmocka_unit_test(a_worker_that_stops_before_it_is_open),
      cmocka_unit_test(a_worker_that_has_stopped),
      cmocka_unit_test(compressed_messages),
      cmocka_unit_test(an_echo_in_another_thread),
      cmocka_unit_test(an_idle_socket_is_small),
      cmocka_unit_test(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
