/* SPDX-License-Identifier: MIT */
/* A WebSocket on its connection: pings, every way to close, a worker that stops, what
 * it costs. */
#include "unit/socket.h"

#include <malloc.h>

#include "base/fault.h"
#include "http/out.h"

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

/* That an app sends says nothing of its client: pings go out, and are missed. */
static void pings_beside_messages_that_were_held(void **state) {
  enum { EARLIER = 1000 };
  begin();
  cw_req_may_hold(req, true);
  conn->timer.due -= EARLIER;
  uint64_t due = conn->timer.due;
  assert_int_equal(cw_ws_send(req, true, "one", 3), CW_OK);
  EXPECT("\x81\x03one");
  assert_true(cw_timer_runs(&conn->timer, CW_TIMER_PING));
  assert_int_equal(conn->timer.due, due);
  run_out(CW_TIMER_PING);
  EXPECT("\x89\x04\0\0\0\0");
  conn->timer.due -= EARLIER;
  due = conn->timer.due;
  assert_int_equal(cw_ws_send(req, true, "two", 3), CW_OK);
  EXPECT("\x81\x03two");
  assert_true(cw_timer_runs(&conn->timer, CW_TIMER_PONG));
  assert_int_equal(conn->timer.due, due);
  run_out(CW_TIMER_PONG);
  take_close(1011, "");
  EXPECT("\x88\x02\x03\xf3");
  run_out(CW_TIMER_CLOSE);
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
      cmocka_unit_test(pings_of_the_client_are_answered),
      cmocka_unit_test(our_pings),
      cmocka_unit_test(pings_beside_messages_that_were_held),
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
      cmocka_unit_test(an_idle_socket_is_small),
      cmocka_unit_test(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
