/* SPDX-License-Identifier: MIT */
/* A server in one thread, spoken to over socket pairs: what it answers without the app,
 * what it believes of proxies, what it logs. */
#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/h1.h"
#include "http/server_internal.h"
#include "unit/serve.h"

static cw_server_t *srv;
static cw_board_t *board;
static cw_req_t *ready[16];
static int n_ready, n_expired;
static cw_listener_t scraped = {.fd = -1, .is_unix = 1, .host = "m", .metrics = 1};
static char script_name[64], path[64], scheme[8];

static void on_ready(void *data, cw_req_t *req) {
  assert_true(n_ready < 16);
  ready[n_ready++] = req;
}
static void on_expired(void *data, cw_req_t *req) {
  n_expired++;
}

static cw_limits_t limits_now(void) {
  return (cw_limits_t){USUAL_LIMITS, .access_format = "%(r)s %(s)s",
                       .trusted = {.all = true}, .proxy_headers = CW_SAYS_FORWARDED,
                       .forwarder_headers = "SCRIPT_NAME,PATH_INFO"};
}

static void start(const cw_limits_t *limits) {
  const cw_host_t host = {
      .ready = on_ready, .blocking = must_not_block, .expired = on_expired};
  srv = serve(&cw_h1, limits, &host);
  n_ready = n_expired = 0;
}

static void stop(void) {
  cw_server_free(srv);
  srv = NULL;
}

static void note(char *out, size_t size, cw_span_t v) {
  snprintf(out, size, "%.*s", (int)v.len, v.p ? v.p : "");
}

/* The app. */
static void run(cw_req_t *req) {
  size_t taken;
  const cw_head_t *h = cw_req_head(req);
  cw_req_started(req);
  if (cw_req_expired(req)) {
    cw_req_finish(req, false);
    return;
  }
  note(script_name, sizeof(script_name), h->script_name);
  note(path, sizeof(path), h->path);
  snprintf(scheme, sizeof(scheme), "%s", h->scheme);
  int rc = cw_resp_start(req, "200 OK", 6);
  if (rc == CW_OK) rc = cw_resp_write(req, "app", 3, true, &taken);
  cw_req_finish(req, rc == CW_OK);
}

static void run_all(void) {
  cw_server_turn(srv, false);
  while (n_ready) {
    run(ready[--n_ready]);
    cw_server_turn(srv, false);
  }
}

static int dial(const cw_listener_t *l) {
  return dial_by(srv, l);
}

/* What came back so far; valid until the next call. */
static const char *answer(int fd) {
  static char buf[64 * 1024];
  size_t have = 0;
  for (ssize_t n; (n = recv(fd, buf + have, sizeof(buf) - 1 - have, 0)) > 0;)
    have += (size_t)n;
  buf[have] = '\0';
  return buf;
}

/* One request on a connection of its own. */
static const char *ask(const cw_listener_t *l, const char *head) {
  int fd = dial(l);
  send_text(fd, head);
  run_all();
  const char *text = answer(fd);
  close(fd);
  run_all();
  return text;
}

static bool begins(const char *text, const char *with) {
  return strncmp(text, with, strlen(with)) == 0;
}

#define GET(path, fields) "GET " path " HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

static void listeners_of_metrics_serve_nothing_else(void **state) {
  cw_limits_t limits = limits_now();
  limits.health = "/health";
  cw_server_t *plain;
  start(&limits);
  plain = srv;
  /* As with such a listener. */
  plain->service.account.counted = plain->probed = true;
  plain->service.account.timed = true;
  assert_true(begins(ask(&scraped, GET("/metrics", "")), "HTTP/1.1 503"));
  board = calloc(1, sizeof(*board));
  cw_server_set_board(srv, board, 3);
  atomic_store(&board->used, 4);
  atomic_store(&board->slots[3].state, CW_WORKER_READY);
  assert_true(begins(ask(&service, GET("/", "")), "HTTP/1.1 200"));
  const char *text = ask(&scraped, GET("/metrics", ""));
  assert_true(
      begins(text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"));
  assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
  assert_non_null(strstr(text, "cwsgi_requests_total{status=\"200\"} 1\n"));
  assert_non_null(strstr(text, "cwsgi_connections_accepted_total 1\n"));
  assert_true(begins(ask(&scraped, GET("/", "")), "HTTP/1.1 404 Not Found"));
  assert_true(begins(ask(&scraped, GET("/health", "")), "HTTP/1.1 404"));
  assert_true(begins(ask(&scraped, "POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
                     "HTTP/1.1 404"));
  assert_true(begins(ask(&service, GET("/metrics", "")), "HTTP/1.1 200"));
  assert_string_equal(path, "/metrics"); /* the app's */
  stop();
  free(board);
}

static void health_knows_of_the_drain_delay(void **state) {
  cw_limits_t limits = limits_now();
  limits.health = "/health";
  start(&limits);
  board = calloc(1, sizeof(*board));
  cw_server_set_board(srv, board, 0);
  assert_non_null(strstr(ask(&service, GET("/health", "")), "\r\n\r\nok\n"));
  atomic_store(&board->draining, 1);
  const char *text = ask(&service, GET("/health", ""));
  assert_true(begins(text, "HTTP/1.1 503 Service Unavailable\r\n"));
  assert_non_null(strstr(text, "\r\n\r\ndraining\n"));
  assert_null(strstr(text, "Connection: close"));
  stop();
  free(board);
}

static void turn_until_expired(void) {
  for (int i = 0; i < 100 && !n_expired; i++) {
    usleep(10 * 1000);
    cw_server_turn(srv, false);
  }
  assert_int_equal(n_expired, 1);
}

/* A server with a request that is ready, and whose time will be up at once. */
static int ask_for_little_time(void) {
  cw_limits_t limits = limits_now();
  limits.request_timeout = 10;
  start(&limits);
  srv->timers.duration[CW_TIMER_REQUEST] = 0;
  int fd = dial(&service);
  send_text(fd, GET("/", ""));
  cw_server_turn(srv, false);
  assert_int_equal(n_ready, 1);
  return fd;
}

static void expired_in_the_queue(void **state) {
  int fd = ask_for_little_time();
  turn_until_expired();
  assert_true(begins(answer(fd), "HTTP/1.1 504 Gateway Timeout\r\n"));
  path[0] = '\0';
  run_all();
  assert_string_equal(path, "");
  close(fd);
  run_all();
  assert_int_equal(cw_server_connections(srv), 0);
  stop();
}

/* The first byte has left: the loop keeps out of it. */
static void expired_while_it_sends(void **state) {
  int fd = ask_for_little_time();
  size_t taken;
  cw_req_t *req = ready[--n_ready];
  assert_int_equal(cw_resp_start(req, "200 OK", 6), CW_OK);
  assert_int_equal(cw_resp_write(req, "a", 1, false, &taken), CW_OK);
  turn_until_expired();
  assert_false(cw_req_expired(req));
  assert_int_equal(cw_resp_write(req, "b", 1, true, &taken), CW_OK);
  cw_req_finish(req, true);
  cw_server_turn(srv, false);
  const char *text = answer(fd);
  assert_true(begins(text, "HTTP/1.1 200 OK\r\n"));
  assert_non_null(strstr(text, "1\r\nb\r\n0\r\n\r\n"));
  close(fd);
  run_all();
  stop();
}

static const char *scheme_of(const char *head) {
  scheme[0] = '\0';
  return begins(ask(&service, head), "HTTP/1.1 400") ? "refused" : scheme;
}

static void usual_scheme_fields(void **state) {
  cw_limits_t limits = limits_now();
  start(&limits);
  assert_string_equal(scheme_of(GET("/", "")), "http");
  assert_string_equal(scheme_of(GET("/", "X-Forwarded-Proto: https\r\n")), "https");
  assert_string_equal(scheme_of(GET("/", "X-Forwarded-Proto: http, HTTPS\r\n")),
                      "https");
  assert_string_equal(scheme_of(GET("/", "x-forwarded-ssl: on\r\n")), "https");
  assert_string_equal(scheme_of(GET("/", "X-Forwarded-Protocol: ssl\r\n")), "https");
  assert_string_equal(scheme_of(GET("/", "X-Forwarded-Protocol: https\r\n")), "http");
  assert_string_equal(scheme_of(GET("/",
                                    "X-Forwarded-Proto: https\r\n"
                                    "X-Forwarded-Ssl: off\r\n")),
                      "refused");
  stop();
}

static void chosen_scheme_fields(void **state) {
  cw_limits_t limits = limits_now();
  limits.secure_schemes = "Front-End-Https = On , X-Scheme=tls";
  start(&limits);
  assert_string_equal(scheme_of(GET("/", "front-end-https: on\r\n")), "https");
  assert_string_equal(scheme_of(GET("/", "X-Scheme: tls\r\n")), "https");
  assert_string_equal(scheme_of(GET("/", "X-Scheme: plain\r\n")), "http");
  assert_string_equal(scheme_of(GET("/", "X-Forwarded-Proto: https\r\n")), "http");
  assert_string_equal(scheme_of(GET("/", "X-Scheme: tls\r\nFront-End-Https: off\r\n")),
                      "refused");
  assert_string_equal(scheme_of(GET("/", "X-Scheme: tls\r\nForwarded: proto=http\r\n")),
                      "refused");
  stop();
  limits.secure_schemes = "";
  start(&limits);
  assert_string_equal(scheme_of(GET("/", "X-Forwarded-Proto: https\r\n")), "http");
  stop();
}

static void bad_scheme_fields_end_the_start(void **state) {
  static const char *const bad[] = {"X", "X=", "=on", "X=a,,Y=b",
                                    "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1"};
  const cw_host_t host = {.ready = on_ready};
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++) {
    cw_limits_t limits = limits_now();
    const char *reason = "";
    limits.secure_schemes = bad[i];
    if (cw_server_new(&cw_h1, &service, 0, &limits, &host, &reason))
      fail_msg("taken: %s", bad[i]);
    assert_non_null(strstr(reason, "secure_scheme_headers"));
  }
}

static void script_names(void **state) {
  cw_limits_t limits = limits_now();
  start(&limits);
  assert_true(begins(ask(&service, GET("/shop/cart", "SCRIPT_NAME: /shop\r\n")),
                     "HTTP/1.1 200"));
  assert_string_equal(script_name, "/shop");
  assert_string_equal(path, "/cart");
  assert_true(
      begins(ask(&service, GET("/shop", "script_name: /shop\r\n")), "HTTP/1.1 200"));
  assert_string_equal(path, "");
  assert_true(begins(ask(&service, GET("/shopping", "SCRIPT_NAME: /shop\r\n")),
                     "HTTP/1.1 500"));
  assert_true(
      begins(ask(&service, GET("/", "SCRIPT_NAME: /shop\r\n")), "HTTP/1.1 500"));
  /* With a hyphen it is just a field. */
  assert_true(
      begins(ask(&service, GET("/x", "Script-Name: /shop\r\n")), "HTTP/1.1 200"));
  assert_string_equal(script_name, "");
  stop();
  /* From strangers it is dropped, or refused with the request. */
  limits.trusted.all = false;
  limits.proxy_mode = CW_PROXY_OFF;
  start(&limits);
  int fd = dial(&service);
  CW_CONTAINER(srv->conns.next, cw_conn_t, all)->trusted = false;
  const char *head = GET("/x", "SCRIPT_NAME: /shop\r\n");
  send_text(fd, head);
  run_all();
  assert_true(begins(answer(fd), "HTTP/1.1 200"));
  assert_string_equal(script_name, "");
  close(fd);
  run_all();
  stop();
}

static void forwarder_names(void **state) {
  cw_limits_t limits = limits_now();
  limits.underscores = CW_UNDERSCORE_REFUSE;
  limits.forwarder_headers = " X_One ,X_Two";
  start(&limits);
  assert_true(
      begins(ask(&service, GET("/", "x_one: 1\r\nX_TWO: 2\r\n")), "HTTP/1.1 200"));
  assert_true(begins(ask(&service, GET("/", "X_Three: 1\r\n")), "HTTP/1.1 400"));
  stop();
  limits.forwarder_headers = "*";
  start(&limits);
  assert_true(begins(ask(&service, GET("/", "X_Three: 1\r\n")), "HTTP/1.1 200"));
  stop();
  limits.forwarder_headers = NULL;
  start(&limits);
  assert_true(begins(ask(&service, GET("/", "X_Three: 1\r\n")), "HTTP/1.1 400"));
  stop();
}

static void file_is(const char *name, const char *wanted) {
  char text[1000];
  FILE *f = fopen(name, "r");
  assert_non_null(f);
  size_t n = fread(text, 1, sizeof(text) - 1, f);
  text[n] = '\0';
  fclose(f);
  assert_string_equal(text, wanted);
}

static void logs_are_reopened(void **state) {
  char dir[] = "/tmp/cwsgi-unit-XXXXXX", name[64], moved[64], errors[64], err[100];
  cw_limits_t limits = limits_now();
  assert_non_null(mkdtemp(dir));
  snprintf(name, sizeof(name), "%s/access.log", dir);
  snprintf(moved, sizeof(moved), "%s/access.log.1", dir);
  snprintf(errors, sizeof(errors), "%s/error.log", dir);
  limits.access_log = name;
  start(&limits);
  ask(&service, GET("/1", ""));
  ask(&service, "nonsense\r\n\r\n");
  assert_int_equal(cw_log_open(errors, err, sizeof(err)), 0);
  assert_int_equal(rename(name, moved), 0);
  assert_int_equal(unlink(errors), 0);
  ask(&service, GET("/2", ""));
  cw_server_reopen_logs(srv);
  run_all();
  ask(&service, GET("/3", ""));
  stop();
  file_is(moved, "GET /1 HTTP/1.1 200\nnonsense 400\nGET /2 HTTP/1.1 200\n");
  file_is(name, "GET /3 HTTP/1.1 200\n");
  assert_int_equal(cw_log_open("-", err, sizeof(err)), 0);
  assert_int_equal(unlink(errors), 0); /* there again */
  unlink(name);
  unlink(moved);
  rmdir(dir);
}

static cw_conn_t *newest(void) {
  return CW_CONTAINER(srv->conns.prev, cw_conn_t, all);
}

/* Kept-alive connections with one request behind them. */
static int make_idle(void) {
  int fd = dial(&service);
  const char *head = GET("/", "");
  send_text(fd, head);
  run_all();
  assert_true(begins(answer(fd), "HTTP/1.1 200"));
  assert_int_equal(cw_h1_of(newest())->state, CW_H1_IDLE);
  return fd;
}

static void idle_connections_at_drain(void **state) {
  cw_limits_t limits = limits_now();
  const char *head = GET("/", "");
  start(&limits);
  int fresh = make_idle();
  int old = make_idle();
  newest()->timer.due -= 6000;
  int late = make_idle(); /* silent for long, but its request has just come */
  newest()->timer.due -= 6000;
  assert_int_equal(send(late, head, strlen(head), 0), (ssize_t)strlen(head));
  int silent = dial(&scraped);
  cw_server_drain(srv);
  cw_server_turn(srv, false);
  char byte;
  assert_int_equal(recv(old, &byte, 1, 0), 0);
  assert_int_equal(recv(silent, &byte, 1, 0), 0);
  run_all();
  assert_non_null(strstr(answer(late), "\r\nConnection: close\r\n"));
  assert_int_equal(recv(fresh, &byte, 1, 0), -1); /* still there, for 500 ms */
  for (int i = 0; i < 100 && cw_server_connections(srv); i++) {
    usleep(20 * 1000);
    cw_server_turn(srv, false);
  }
  assert_int_equal(cw_server_connections(srv), 0);
  close(fresh);
  close(old);
  close(late);
  close(silent);
  stop();
}

static void listen_on(cw_listener_t *l, struct sockaddr_in *addr) {
  socklen_t len = sizeof(*addr);
  *addr = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  assert_int_equal(bind(l->fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
  getsockname(l->fd, (struct sockaddr *)addr, &len);
}

static int call(const struct sockaddr_in *addr) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)addr, sizeof(*addr)), 0);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static void scrapes_get_in_when_the_service_is_full(void **state) {
  cw_listener_t two[2] = {{.host = "127.0.0.1"}, {.host = "127.0.0.1", .metrics = 1}};
  struct sockaddr_in addr[2];
  const cw_host_t host = {.ready = on_ready, .blocking = must_not_block};
  cw_limits_t limits = limits_now();
  const char *reason, *head = GET("/metrics", "");
  limits.connections = 1;
  listen_on(&two[0], &addr[0]);
  listen_on(&two[1], &addr[1]);
  srv = cw_server_new(&cw_h1, two, 2, &limits, &host, &reason);
  assert_non_null(srv);
  board = calloc(1, sizeof(*board));
  cw_server_set_board(srv, board, 0);
  atomic_store(&board->used, 1);
  assert_int_equal(cw_server_listen(srv, 16), 0);
  int first = call(&addr[0]), second = call(&addr[0]);
  for (int i = 0; i < 5; i++) cw_server_turn(srv, false);
  assert_int_equal(cw_server_connections(srv), 1);
  for (int i = 0; i < 2; i++) {
    int scrape = call(&addr[1]);
    assert_int_equal(send(scrape, head, strlen(head), 0), (ssize_t)strlen(head));
    for (int k = 0; k < 5; k++) cw_server_turn(srv, false);
    assert_non_null(strstr(answer(scrape), "cwsgi_connections_accepted_total 1\n"));
    close(scrape);
    for (int k = 0; k < 5; k++) cw_server_turn(srv, false);
  }
  assert_int_equal(cw_server_connections(srv), 1);
  close(first);
  close(second);
  stop();
  close(two[0].fd);
  close(two[1].fd);
  free(board);
}

static void count(void *n) {
  ++*(int *)n;
}

/* What a timer changed is to be looked at, even where it was due before the wait. */
static void a_timer_ends_the_turn(void **state) {
  int due = 0, late = 0;
  cw_limits_t limits = limits_now();
  start(&limits);
  cw_server_turn(srv, false);
  int64_t then = cw_now_us();
  while (cw_now_us() - then < 20 * 1000) usleep(1000);
  cw_server_timer(srv, CW_HOST_RETRY, 5, count, &due);
  cw_server_timer(srv, CW_HOST_DEADLINE, 10 * 1000, count, &late);
  cw_server_turn(srv, true);
  assert_int_equal(due, 1);
  assert_int_equal(late, 0);
  stop();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_timer_ends_the_turn),
      cmocka_unit_test(listeners_of_metrics_serve_nothing_else),
      cmocka_unit_test(health_knows_of_the_drain_delay),
      cmocka_unit_test(expired_in_the_queue),
      cmocka_unit_test(expired_while_it_sends),
      cmocka_unit_test(usual_scheme_fields),
      cmocka_unit_test(chosen_scheme_fields),
      cmocka_unit_test(bad_scheme_fields_end_the_start),
      cmocka_unit_test(script_names),
      cmocka_unit_test(forwarder_names),
      cmocka_unit_test(logs_are_reopened),
      cmocka_unit_test(idle_connections_at_drain),
      cmocka_unit_test(scrapes_get_in_when_the_service_is_full),
  };
  alarm(60);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
