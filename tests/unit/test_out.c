/* SPDX-License-Identifier: MIT */
/* Responses that are larger than what the socket takes. What the loop's thread does in
 * between two steps of the writing thread is called from the unlocking of a mutex and
 * after a send. */
#include "unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server_internal.h"
#include "unit/serve.h"

static void (*meanwhile)(void), (*after_send)(void);

static int unlock_and_go_on(pthread_mutex_t *lock) {
  int rc = pthread_mutex_unlock(lock);
  void (*fn)(void) = meanwhile;
  meanwhile = NULL;
  if (fn) fn();
  return rc;
}

static ssize_t send_and_go_on(int fd, const struct msghdr *msg, int flags) {
  ssize_t n = sendmsg(fd, msg, flags);
  void (*fn)(void) = after_send;
  after_send = NULL;
  if (fn) fn();
  return n;
}

#define pthread_mutex_unlock unlock_and_go_on
#define sendmsg send_and_go_on
#include "../../csrc/http/out.c"
#undef pthread_mutex_unlock
#undef sendmsg

static cw_server_t *srv;
static cw_req_t *running;
static int client;
static size_t received;
static bool stood_by; /* the thread would wait */

static void on_ready(void *data, cw_req_t *req) {
  running = req;
}
static void on_blocking(void *data) {
  stood_by = true;
}

static void start(void) {
  static const cw_limits_t limits = {USUAL_LIMITS};
  const cw_host_t host = {.ready = on_ready, .blocking = on_blocking};
  srv = serve(&cw_h1, &limits, &host);
  client = dial_by(srv, &service);
  running = NULL;
  received = 0;
  stood_by = false;
  send_text(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  cw_server_turn(srv, false);
  assert_non_null(running);
  assert_int_equal(cw_resp_start(running, "200 OK", 6), CW_OK);
}

/* The client reads what there is, the loop sends more, until nothing moves. */
static void drain(void) {
  static char sink[64 * 1024];
  for (bool moved = true; moved;) {
    moved = false;
    for (ssize_t n; (n = recv(client, sink, sizeof(sink), MSG_DONTWAIT)) > 0;) {
      received += (size_t)n;
      moved = true;
    }
    cw_server_turn(srv, false);
  }
}

static void leave(void) {
  close(client);
  cw_server_turn(srv, false);
  cw_server_turn(srv, false);
}

/* A piece that the socket does not take whole, within the high-water mark. */
static char piece[CW_OUT_HIGH + 200 * 1024];

static void fill(void) {
  size_t taken;
  assert_int_equal(cw_resp_write(running, piece, 300 * 1024, false, &taken), CW_OK);
  assert_true(cw_out_pending(running) > 0);
  cw_server_turn(srv, false);
  assert_true(running->conn->want_write);
}

static void end(void) {
  cw_req_finish(running, true);
  cw_server_turn(srv, false);
  cw_server_free(srv);
}

/* The loop has sent the backlog by the time the thread adds to it. */
static void what_is_added_to_a_backlog_is_sent(void **state) {
  size_t taken;
  start();
  fill();
  meanwhile = drain;
  assert_int_equal(cw_resp_write(running, "event", 5, false, &taken), CW_OK);
  assert_null(meanwhile);
  drain();
  size_t before = received;
  assert_int_equal(cw_out_pending(running), 0);
  assert_int_equal(cw_resp_write(running, "event", 5, true, &taken), CW_OK);
  drain();
  assert_true(received > before);
  assert_int_equal(cw_out_pending(running), 0);
  end();
  close(client);
}

/* The client leaves while the thread is between sending and waiting. */
static void nobody_waits_for_who_has_left(void **state) {
  size_t taken;
  start();
  after_send = leave;
  int rc = cw_resp_write(running, piece, sizeof(piece), false, &taken);
  if (rc == CW_WAIT) {
    cw_req_wait_nogil(running); /* ends by the time limit of this program, or not */
    rc = cw_resp_write(running, piece + taken, sizeof(piece) - taken, false, &taken);
  }
  assert_int_equal(rc, CW_LOST);
  end();
}

/* The same where a backlog is there already. */
static void nobody_waits_behind_a_backlog(void **state) {
  size_t taken;
  start();
  fill();
  meanwhile = leave;
  int rc = cw_resp_write(running, piece, sizeof(piece), false, &taken);
  if (rc == CW_WAIT) {
    cw_req_wait_nogil(running);
    rc = cw_resp_write(running, piece + taken, sizeof(piece) - taken, false, &taken);
  }
  assert_int_equal(rc, CW_LOST);
  end();
}

/* What goes whole or not at all is kept, however much it is, and nothing comes between
 * its parts. */
static void what_is_put_is_kept(void **state) {
  const cw_parts_t parts = {
      .before = {"head", 4}, .body = {piece, sizeof(piece)}, .after = {"end", 3}};
  start();
  for (int i = 1; i <= 3; i++) {
    pthread_mutex_lock(&running->lock);
    assert_int_equal(cw_out_put_locked(running, &parts), CW_OK);
    assert_true(cw_out_pending(running) > (i - 1) * (int64_t)sizeof(piece));
    pthread_mutex_unlock(&running->lock);
  }
  cw_server_turn(srv, false);
  assert_true(running->conn->want_write);
  drain();
  assert_int_equal(received, 3 * (sizeof(piece) + 7));
  leave();
  pthread_mutex_lock(&running->lock);
  assert_int_equal(cw_out_put_locked(running, &parts), CW_LOST);
  pthread_mutex_unlock(&running->lock);
  end();
}

/* How many bytes the client has by now. */
static ssize_t arrived(void) {
  static char sink[64 * 1024];
  return recv(client, sink, sizeof(sink), MSG_DONTWAIT);
}

/* A small response that is whole waits for the turn, which ends the request, too. */
static void a_small_response_is_held_until_the_turn(void **state) {
  size_t taken;
  start();
  cw_req_may_hold(running, true);
  assert_int_equal(cw_resp_write(running, "whole", 5, true, &taken), CW_OK);
  assert_int_equal(taken, 5);
  cw_req_finish(running, true);
  assert_int_equal(arrived(), -1);
  cw_server_turn(srv, false);
  assert_true(arrived() > 5);
  /* The connection goes on. */
  running = NULL;
  send_text(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  cw_server_turn(srv, false);
  assert_non_null(running);
  assert_false(running->may_hold);
  end();
  close(client);
}

/* What is not the whole of it is not, nor what is large, nor what comes in a turn. */
static void other_responses_are_not_held(void **state) {
  size_t taken;
  for (int i = 0; i < 3; i++) {
    start();
    cw_req_may_hold(running, true);
    if (i == 2) atomic_store(&running->service->posts.waiting, true);
    size_t n = i == 1 ? 9000 : 5;
    assert_int_equal(cw_resp_write(running, piece, n, i > 0, &taken), CW_OK);
    assert_true(arrived() > (ssize_t)n);
    if (i == 0) assert_int_equal(cw_resp_write(running, piece, n, true, &taken), CW_OK);
    atomic_store(&running->service->posts.waiting, false);
    end();
    close(client);
  }
}

/* The client has left before the turn that sends it. */
static void a_held_response_may_come_too_late(void **state) {
  size_t taken;
  start();
  cw_req_may_hold(running, true);
  assert_int_equal(cw_resp_write(running, "whole", 5, true, &taken), CW_OK);
  close(client);
  end();
}

/* More held responses in one turn than requests are kept for reuse: the memory of some
 * is given back as they end, and is not looked at after. */
static void many_are_held_until_the_turn(void **state) {
  enum { MANY = 80 };
  static const cw_limits_t limits = {USUAL_LIMITS};
  const cw_host_t host = {.ready = on_ready, .blocking = on_blocking};
  int clients[MANY];
  cw_req_t *reqs[MANY];
  size_t taken;
  srv = serve(&cw_h1, &limits, &host);
  for (int i = 0; i < MANY; i++) {
    clients[i] = client = dial_by(srv, &service);
    running = NULL;
    send_text(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    cw_server_turn(srv, false);
    reqs[i] = running;
    assert_non_null(running);
  }
  for (int i = 0; i < MANY; i++) {
    cw_req_may_hold(reqs[i], true);
    assert_int_equal(cw_resp_start_code(reqs[i], 200), CW_OK);
    assert_int_equal(cw_resp_write(reqs[i], "whole", 5, true, &taken), CW_OK);
    cw_req_finish(reqs[i], true);
  }
  cw_server_turn(srv, false);
  cw_server_turn(srv, false);
  for (int i = 0; i < MANY; i++) {
    client = clients[i];
    assert_true(arrived() > 5);
    close(client);
  }
  cw_server_free(srv);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_added_to_a_backlog_is_sent),
      cmocka_unit_test(nobody_waits_for_who_has_left),
      cmocka_unit_test(nobody_waits_behind_a_backlog),
      cmocka_unit_test(what_is_put_is_kept),
      cmocka_unit_test(a_small_response_is_held_until_the_turn),
      cmocka_unit_test(other_responses_are_not_held),
      cmocka_unit_test(a_held_response_may_come_too_late),
      cmocka_unit_test(many_are_held_until_the_turn),
  };
  alarm(30); /* who waits for ever fails */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
