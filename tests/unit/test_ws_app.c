/* SPDX-License-Identifier: MIT */
/* What an app does with a WebSocket: messages there and back, pressure in both
 * directions, compression, a thread of its own. */
#include "unit/socket.h"

#include <pthread.h>

#include "http/out.h"

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
  for (int i = 0; i < QUEUE; i++) say("x");
  assert_true(req->ws->paused);
  /* Polling goes on until there is something not to be read. */
  turn();
  assert_true(conn->events & UV_READABLE);
  for (int i = 0; i < 3; i++) say("x");
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
    cw_req_may_hold(mine, true);
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

/* Several in one piece, with the next turn; a large one is not held. */
static void small_messages_are_held_until_the_turn(void **state) {
  static char large[20 * 1024];
  begin();
  cw_req_may_hold(req, true);
  assert_int_equal(cw_ws_send(req, true, "one", 3), CW_OK);
  assert_int_equal(cw_ws_send(req, true, "two", 3), CW_OK);
  assert_false(receive());
  assert_int_equal(n_in, 0);
  EXPECT("\x81\x03one\x81\x03two");
  assert_false(conn->want_write);
  assert_int_equal(cw_ws_send(req, false, large, sizeof(large)), CW_OK);
  assert_false(receive());
  assert_int_equal(n_in, sizeof(large) + 4);
  n_in = 0;
  finish();
}

/* The client has left before the turn, or does not read. */
static void held_messages_of_who_has_left(void **state) {
  begin();
  cw_req_may_hold(req, true);
  assert_int_equal(cw_ws_send(req, true, "one", 3), CW_OK);
  close(fd);
  turn();
  assert_int_equal(cw_ws_send(req, true, "two", 3), CW_LOST);
  cw_req_finish(req, true);
  req = NULL;
  turn();
  assert_int_equal(cw_server_connections(srv), 0);
  cw_server_free(srv);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(small_messages_are_held_until_the_turn),
      cmocka_unit_test(held_messages_of_who_has_left),
      cmocka_unit_test(messages_there_and_back),
      cmocka_unit_test(early_frames),
      cmocka_unit_test(long_messages),
      cmocka_unit_test(reading_stops_for_an_app_that_does_not),
      cmocka_unit_test(a_burst_is_kept),
      cmocka_unit_test(long_messages_fill_the_queue_by_their_bytes),
      cmocka_unit_test(sending_waits_for_a_client_that_does_not_read),
      cmocka_unit_test(who_does_not_read_at_all_is_lost),
      cmocka_unit_test(a_flood_of_pings),
      cmocka_unit_test(compressed_messages),
      cmocka_unit_test(an_echo_in_another_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
