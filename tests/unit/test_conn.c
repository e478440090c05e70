/* SPDX-License-Identifier: MIT */
/* A connection's life where events, messages of running threads and timers meet. */
#include "unit/unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "http/out.h"
#include "http/server_internal.h"
#include "unit/serve.h"

static cw_server_t *srv;
static cw_req_t *ready[4];
static int n_ready;
static void (*on_second)(void);
static char piece[300 * 1024], sink[1024 * 1024];

static void on_ready(void *data, cw_req_t *req) {
  assert_true(n_ready < 4);
  ready[n_ready++] = req;
  if (n_ready == 2 && on_second) on_second();
}

static void start(void) {
  static const cw_limits_t limits = {USUAL_LIMITS};
  const cw_host_t host = {.ready = on_ready, .blocking = must_not_block};
  srv = serve(&cw_h1, &limits, &host);
  n_ready = 0;
  on_second = NULL;
}

static int dial(const char *text) {
  int fd = dial_by(srv, &service);
  send_text(fd, text);
  return fd;
}

/* Has the first request stream more than its socket takes. */
static void stall(void) {
  size_t taken;
  assert_int_equal(cw_resp_start(ready[0], "200 OK", 6), CW_OK);
  assert_int_equal(cw_resp_write(ready[0], piece, sizeof(piece), false, &taken), CW_OK);
  cw_server_turn(srv, false);
  assert_true(ready[0]->conn->want_write);
}

static void fail_first(void) {
  cw_req_finish(ready[0], false);
}

/* One batch of events: another connection's request comes, the first one's thread fails
 * meanwhile, and the first one's socket can be written. */
static void a_reset_may_come_before_an_event(void **state) {
  start();
  int a = dial("GET / HTTP/1.0\r\n\r\n");
  cw_server_turn(srv, false);
  stall();
  on_second = fail_first;
  int b = dial("GET / HTTP/1.0\r\n\r\n");
  while (recv(a, sink, sizeof(sink), 0) > 0) {
  }
  cw_server_turn(srv, false);
  cw_server_turn(srv, false);
  assert_int_equal(n_ready, 2);
  assert_int_equal(cw_server_connections(srv), 1);
  cw_req_finish(ready[1], false);
  cw_server_free(srv);
  close(a);
  close(b);
}

#define LONG_POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"

/* The end of a body says nothing about who does not read the response. */
static void the_stall_goes_on_behind_the_body(void **state) {
  start();
  int fd = dial(LONG_POST);
  cw_server_turn(srv, false);
  stall();
  cw_conn_t *c = ready[0]->conn;
  assert_true(cw_timer_runs(&c->timer, CW_TIMER_STALL));
  assert_int_equal(send(fd, piece, 500, 0), 500);
  cw_server_turn(srv, false);
  assert_int_equal(c->moved, 0);
  assert_int_equal(send(fd, piece, 500, 0), 500);
  cw_server_turn(srv, false);
  assert_true(ready[0]->body.complete);
  assert_true(cw_timer_runs(&c->timer, CW_TIMER_STALL));
  cw_req_finish(ready[0], true);
  cw_server_free(srv);
  close(fd);
}

/* The app makes room in a body that has ended: nothing more is waited for. */
static void no_clock_runs_behind_the_body(void **state) {
  static char body[200 * 1024];
  start();
  int fd = dial("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 204800\r\n\r\n");
  size_t at = 0;
  while (at < sizeof(body) || !n_ready || !ready[0]->body.complete) {
    ssize_t n = at < sizeof(body) ? send(fd, body + at, sizeof(body) - at, 0) : 0;
    at += n > 0 ? (size_t)n : 0;
    cw_server_turn(srv, false);
    while (n_ready && cw_body_take(ready[0], sink, sizeof(sink), false) > 0) {
    }
  }
  cw_server_turn(srv, false);
  assert_false(cw_timer_runs(&ready[0]->conn->timer, CW_TIMER_BODY));
  cw_req_finish(ready[0], true);
  cw_server_free(srv);
  close(fd);
}

/* Chunked bodies that are being gathered are requests that still come in. */
static void what_is_gathered_is_in_the_budget(void **state) {
  enum { MANY = 8 };
  static const char head[] =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n";
  int fds[MANY];
  start();
  srv->service.limits.buffer_body = 64 * 1024;
  srv->service.limits.buffer_memory = 128 * 1024;
  for (int i = 0; i < MANY; i++) {
    fds[i] = dial(head);
    assert_int_equal(send(fds[i], piece, 32 * 1024, 0), 32 * 1024);
    cw_server_turn(srv, false);
    assert_true(srv->held <= srv->service.limits.buffer_memory);
  }
  assert_int_equal(n_ready, 0);
  for (int i = 0; i < MANY; i++) close(fds[i]);
  while (cw_server_connections(srv)) cw_server_turn(srv, true);
  assert_int_equal(srv->held, 0);
  cw_server_free(srv);
}

/* One that has been gathered for long enough runs: it is not part of the budget any
 * more, and least of all to be refused for it. */
static void who_runs_before_its_end_is_not_in_the_budget(void **state) {
  (void)state;
  start();
  srv->service.limits.buffer_body = 64 * 1024;
  int fd =
      dial("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n");
  assert_int_equal(send(fd, piece, 32 * 1024, 0), 32 * 1024);
  while (!n_ready) cw_server_turn(srv, true);
  assert_int_equal(srv->held, 0);
  srv->service.limits.buffer_memory = 1024;
  int other = dial("GET / HTTP/1.1\r\nHost: a\r\nX-A: b");
  cw_server_turn(srv, false);
  assert_int_equal(cw_server_connections(srv), 2);
  assert_true(ready[0]->conn->running);
  cw_req_finish(ready[0], false);
  cw_server_free(srv);
  close(fd);
  close(other);
}

/* Nor is one whose next request finds no memory. */
static void who_is_lost_while_it_runs_is_not_in_the_budget(void **state) {
  (void)state;
  start();
  int fd = dial("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
  assert_int_equal(send(fd, piece, 50, 0), 50);
  cw_server_turn(srv, false);
  assert_true(srv->held > 0);
  assert_int_equal(send(fd, piece, 60, 0), 60);
  cw_fault_arm(1);
  cw_server_turn(srv, false);
  cw_fault_arm(0);
  assert_int_equal(n_ready, 1);
  assert_true(atomic_load(&ready[0]->lost));
  assert_int_equal(srv->held, 0);
  cw_req_finish(ready[0], false);
  cw_server_free(srv);
  close(fd);
}

enum { UPLOAD = 20000 };
#define UPLOAD_HEAD "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n"

/* Sends an upload, and what stands behind it, at once. */
static void upload(int fd, const char *behind) {
  static char text[sizeof(UPLOAD_HEAD) + UPLOAD + 200];
  size_t head = sizeof(UPLOAD_HEAD) - 1, n = head + UPLOAD;
  memcpy(text, UPLOAD_HEAD, head);
  for (size_t i = 0; i < UPLOAD; i++) text[head + i] = (char)(i * 7);
  memcpy(text + n, behind, strlen(behind));
  n += strlen(behind);
  assert_int_equal(send(fd, text, n, 0), (ssize_t)n);
  n_ready = 0;
  cw_server_turn(srv, false);
  assert_int_equal(n_ready, 1);
}

/* The app reads it all, and answers. */
static void take_upload(int fd) {
  static char body[UPLOAD + 1];
  size_t taken;
  assert_int_equal(cw_body_take(ready[0], body, sizeof(body), false), UPLOAD);
  for (size_t i = 0; i < UPLOAD; i++)
    if (body[i] != (char)(i * 7)) fail_msg("byte %zu", i);
  assert_int_equal(cw_body_take(ready[0], body, sizeof(body), false), 0);
  assert_int_equal(cw_resp_start(ready[0], "200 OK", 6), CW_OK);
  assert_int_equal(cw_resp_write(ready[0], "yes", 3, true, &taken), CW_OK);
  cw_req_finish(ready[0], true);
  cw_server_turn(srv, false);
  assert_true(recv(fd, sink, sizeof(sink), 0) > 0);
}

/* It keeps what it was received into, and the next ones need no memory. */
static void a_body_that_comes_whole_is_not_copied(void **state) {
  enum { PLENTY = 1000 };
  start();
  srv->service.limits.buffer_body = 64 * 1024;
  int fd = dial("");
  char *block = srv->block;
  upload(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert_ptr_equal(ready[0]->body.buf.p, block);
  assert_ptr_not_equal(srv->block, block);
  take_upload(fd);
  /* The one behind it is intact, though its bytes came in the same block. */
  assert_int_equal(n_ready, 2);
  ready[0] = ready[1];
  assert_int_equal(cw_body_left(ready[0]), 0);
  cw_req_finish(ready[0], false);
  cw_server_turn(srv, false);
  assert_true(recv(fd, sink, sizeof(sink), 0) > 0);
  assert_int_equal(srv->service.blocks.n, 1);
  cw_fault_arm(PLENTY);
  for (int i = 0; i < 3; i++) {
    upload(fd, "");
    take_upload(fd);
  }
  assert_int_equal(cw_fault_left(), PLENTY);
  cw_fault_arm(0);
  /* Many at once: so many blocks are kept, and no more. */
  int many[CW_BLOCKS + 2];
  cw_req_t *all[CW_BLOCKS + 2];
  for (int i = 0; i < CW_BLOCKS + 2; i++) {
    many[i] = dial("");
    upload(many[i], "");
    all[i] = ready[0];
  }
  for (int i = 0; i < CW_BLOCKS + 2; i++) {
    ready[0] = all[i];
    take_upload(many[i]);
    close(many[i]);
  }
  assert_int_equal(srv->service.blocks.n, CW_BLOCKS);
  cw_server_free(srv);
  close(fd);
}

/* A scrape takes in what threads have ended meanwhile. The next request of such a
 * connection may need a place: that of whoever asked for the scrape is not free. */
static void a_scrape_is_not_evicted_by_what_it_takes_in(void **state) {
  static const char two[] =
      "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
  static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  enum { LONG_AGO = 5000 };
  (void)state;
  start();
  cw_board_t *board = calloc(1, sizeof(*board));
  assert_non_null(board);
  cw_server_set_board(srv, board, 0);
  srv->probed = true;
  srv->service.limits.metrics = "/metrics";
  srv->service.limits.connections = 1;
  srv->acceptors.on_spare = true;
  int spare = dial(two);
  cw_server_turn(srv, false);
  assert_int_equal(n_ready, 1);
  int other = dial(""), scrape = dial("");
  CW_CONTAINER(srv->conns.prev, cw_conn_t, all)->timer.due -= LONG_AGO;
  cw_server_turn(srv, false);
  /* In one batch of events, and the first one's thread ends between them. */
  on_second = fail_first;
  assert_int_equal(send(other, two, sizeof(two) / 2, 0), (ssize_t)(sizeof(two) / 2));
  assert_int_equal(send(scrape, ask, sizeof(ask) - 1, 0), (ssize_t)sizeof(ask) - 1);
  cw_server_turn(srv, false);
  assert_int_equal(n_ready, 2);
  assert_true(recv(scrape, sink, sizeof(sink), 0) > 0);
  assert_memory_equal(sink, "HTTP/1.1 200", 12);
  cw_req_finish(ready[1], false);
  cw_server_free(srv);
  free(board);
  close(spare);
  close(scrape);
  close(other);
}

/* Interim responses go out one after the other, also where the client is slow. */
static void a_body_is_asked_for_behind_hints_that_wait(void **state) {
  static const char head[] =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
      "Expect: 100-continue\r\n\r\n";
  static const char last[] = "\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
  enum { HINTS = 10, LAST = sizeof(last) - 1 };
  (void)state;
  start();
  int fd = dial(head);
  cw_server_turn(srv, false);
  memset(piece, 'x', sizeof(piece));
  const cw_field_t hint = {{"Link", 4}, {piece, 64 * 1024}};
  for (int i = 0; i < HINTS; i++)
    assert_int_equal(cw_resp_early_hints(ready[0], &hint, 1), CW_OK);
  assert_true(cw_out_pending(ready[0]) > 0);
  assert_int_equal(cw_body_take(ready[0], sink, sizeof(sink), false), CW_WAIT);
  size_t got = 0;
  while (cw_out_pending(ready[0])) {
    ssize_t n = recv(fd, sink + got, sizeof(sink) - got, 0);
    if (n > 0) got += (size_t)n;
    cw_server_turn(srv, false);
  }
  for (ssize_t n; (n = recv(fd, sink + got, sizeof(sink) - got, 0)) > 0;)
    got += (size_t)n;
  assert_true(got > HINTS * hint.value.len);
  assert_memory_equal(sink + got - LAST, last, LAST);
  assert_int_equal(send(fd, "abc", 3, 0), 3);
  cw_server_turn(srv, false);
  assert_int_equal(cw_body_take(ready[0], sink, sizeof(sink), false), 3);
  cw_req_finish(ready[0], false);
  cw_server_free(srv);
  close(fd);
}

/* What is left of an interim response is the loop's to send: whoever took the
 * connection over would write into the middle of it. */
static void no_take_over_in_the_middle_of_hints(void **state) {
  static const char head[] =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
      "Upgrade: x\r\n\r\n";
  (void)state;
  start();
  int fd = dial(head);
  cw_server_turn(srv, false);
  const cw_field_t hint = {{"Link", 4}, {piece, sizeof(piece)}};
  memset(piece, 'x', sizeof(piece));
  assert_int_equal(cw_resp_early_hints(ready[0], &hint, 1), CW_OK);
  assert_true(cw_out_pending(ready[0]) > 0);
  assert_int_equal(cw_req_take_over(ready[0]), -1);
  while (cw_out_pending(ready[0])) {
    (void)recv(fd, sink, sizeof(sink), 0);
    cw_server_turn(srv, false);
  }
  int own = cw_req_take_over(ready[0]);
  assert_true(own >= 0);
  close(own);
  cw_req_finish(ready[0], true);
  cw_server_free(srv);
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_body_that_comes_whole_is_not_copied),
      cmocka_unit_test(a_scrape_is_not_evicted_by_what_it_takes_in),
      cmocka_unit_test(a_body_is_asked_for_behind_hints_that_wait),
      cmocka_unit_test(no_take_over_in_the_middle_of_hints),
      cmocka_unit_test(a_reset_may_come_before_an_event),
      cmocka_unit_test(the_stall_goes_on_behind_the_body),
      cmocka_unit_test(no_clock_runs_behind_the_body),
      cmocka_unit_test(what_is_gathered_is_in_the_budget),
      cmocka_unit_test(who_is_lost_while_it_runs_is_not_in_the_budget),
      cmocka_unit_test(who_runs_before_its_end_is_not_in_the_budget),
  };
  alarm(30); /* a loop without an end fails */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
