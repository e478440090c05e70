/* SPDX-License-Identifier: MIT */
/* A second protocol on a connection: each line is a request, whose response is its body
 * and a newline. It needs nothing of conn.c but its table. */
#include "unit/unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "http/out.h"
#include "http/server_internal.h"
#include "unit/serve.h"

typedef struct line_conn {
  cw_req_t *req;
} line_conn_t;

static cw_server_t *srv;
static cw_req_t *running;
static int ended;

static line_conn_t *of(cw_conn_t *c) {
  return (line_conn_t *)(void *)c->part;
}

/* ---- its stream -------------------------------------------------------------- */

static int send_line(cw_req_t *req, const char *data, size_t n, bool last,
                     size_t *taken) {
  cw_parts_t parts = {.before = {"", 0}, .body = {data, n}, .after = {"\n", last}};
  int rc = cw_out_write(req, &parts, taken);
  req->resp.sent |= rc == CW_OK;
  req->resp.ended = rc == CW_OK && last;
  return rc;
}

static const cw_stream_t line_stream = {.send = send_line};

/* ---- its connections --------------------------------------------------------- */

static size_t consume(cw_conn_t *c, const char *p, size_t n) {
  const char *lf = memchr(p, '\n', n);
  if (!lf || of(c)->req) return 0;
  cw_req_t *req = cw_req_new(&srv->service, &line_stream, c->fd);
  assert_non_null(req);
  req->conn = c;
  req->head.method = (cw_span_t){"SAY", 3};
  req->head.minor = 1;
  char *text = cw_arena_alloc(&req->arena, (size_t)(lf - p) + 1);
  memcpy(text, p, (size_t)(lf - p));
  req->head.path = (cw_span_t){text, (size_t)(lf - p)};
  of(c)->req = req;
  c->running = 1;
  cw_timer_stop(&c->timer);
  srv->service.host.ready(srv->service.host.data, req);
  return (size_t)(lf - p) + 1;
}

static void on_post(cw_conn_t *c, cw_req_t *req, int what) {
  if (!(what & CW_POST_DONE)) return;
  assert_ptr_equal(of(c)->req, req);
  c->running = 0;
  cw_req_free(req);
  of(c)->req = NULL;
  cw_conn_start_timer(c, CW_TIMER_IDLE);
  if (cw_buf_pending(&c->in)) cw_conn_feed(c, NULL, 0);
}

static void on_eof(cw_conn_t *c) {
  cw_conn_lose(c, CW_END_CLIENT);
}
static void on_timer(cw_conn_t *c) {
  cw_conn_close(c, CW_END_IDLE);
}
static void on_drain(cw_conn_t *c) {
  if (!c->running) cw_conn_close(c, CW_END_DRAIN);
}
static void lose(cw_conn_t *c) {
  cw_req_mark_lost(of(c)->req);
}
static void give_up(cw_conn_t *c) {
  c->running = 0;
}
static void end(cw_conn_t *c) {
  if (of(c)->req) cw_req_free(of(c)->req);
  of(c)->req = NULL;
  ended++;
}
static bool wants_read(cw_conn_t *c) {
  return true;
}
static size_t held(cw_conn_t *c, uint32_t *awaited) {
  *awaited = 0;
  return c->in.cap;
}
static void check(cw_conn_t *c) {
  assert_int_equal(c->running, of(c)->req != NULL);
}

static const cw_protocol_t lines = {.size = sizeof(line_conn_t),
                                    .consume = consume,
                                    .on_eof = on_eof,
                                    .on_timer = on_timer,
                                    .on_drain = on_drain,
                                    .on_post = on_post,
                                    .lose = lose,
                                    .abort = give_up,
                                    .end = end,
                                    .wants_read = wants_read,
                                    .held = held,
                                    .check = check};

/* ---- tests ------------------------------------------------------------------- */

static void on_ready(void *data, cw_req_t *req) {
  assert_null(running);
  running = req;
}

static void start(void) {
  static const cw_limits_t limits = {.idle = 60000, .header = 30000};
  const cw_host_t host = {.ready = on_ready};
  srv = serve(&lines, &limits, &host);
  running = NULL;
  ended = 0;
}

static int dial(void) {
  return dial_by(srv, &service);
}

static void say(int fd, const char *text) {
  send_text(fd, text);
  cw_server_turn(srv, false);
}

/* Answers what runs with its own words. */
static void echo(void) {
  cw_req_t *req = running;
  size_t taken;
  assert_non_null(req);
  running = NULL;
  cw_span_t text = cw_req_head(req)->path;
  assert_int_equal(cw_resp_start(req, "200 OK", 6), CW_OK);
  assert_int_equal(cw_resp_write(req, text.p, text.len, true, &taken), CW_OK);
  cw_req_finish(req, true);
  cw_server_turn(srv, false);
}

static void expect(int fd, const char *text) {
  char got[64] = "";
  assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), (ssize_t)strlen(text));
  assert_string_equal(got, text);
}

static void lines_are_answered_in_order(void **state) {
  start();
  int fd = dial();
  say(fd, "on");
  assert_null(running);
  say(fd, "e\ntwo\n");
  echo();
  expect(fd, "one\n");
  echo();
  expect(fd, "two\n");
  assert_int_equal(cw_server_connections(srv), 1);
  close(fd);
  cw_server_turn(srv, false);
  assert_int_equal(cw_server_connections(srv), 0);
  assert_int_equal(ended, 1);
  cw_server_free(srv);
}

static void who_leaves_ends_when_its_thread_does(void **state) {
  start();
  int fd = dial();
  say(fd, "one\n");
  close(fd);
  cw_server_turn(srv, false);
  assert_int_equal(cw_server_connections(srv), 1);
  assert_true(cw_req_abandoned(running));
  cw_conn_t *c = running->conn;
  cw_req_finish(running, false);
  cw_server_turn(srv, false);
  assert_false(c->running);
  assert_int_equal(c->why, CW_END_CLIENT);
  cw_server_drain(srv);
  assert_int_equal(cw_server_connections(srv), 0);
  cw_server_free(srv);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lines_are_answered_in_order),
      cmocka_unit_test(who_leaves_ends_when_its_thread_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
