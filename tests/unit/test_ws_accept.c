/* SPDX-License-Identifier: MIT */
/* From a request to a WebSocket, or to the answer why not; and what is left of the
 * request then. */
#include "unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/ws_socket.h"
#include "unit/folder.h"
#include "unit/serve.h"

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define ANSWER                                                 \
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" \
  "Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static cw_server_t *srv;
static cw_req_t *req;
static int fd;
static char got[4096];

static void on_ready(void *data, cw_req_t *ready) {
  req = ready;
}

static void ask(const cw_limits_t *limits, const char *fields) {
  const cw_host_t host = {.ready = on_ready, .blocking = must_not_block};
  char text[2048];
  srv = serve(&cw_h1, limits, &host);
  req = NULL;
  fd = dial_by(srv, &service);
  snprintf(text, sizeof(text), "GET /a%%20b?q HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
  send_text(fd, text);
  cw_server_turn(srv, false);
  assert_non_null(req);
}

static void begin(const char *fields) {
  static const cw_limits_t limits = {USUAL_LIMITS};
  ask(&limits, fields);
}

/* What the client received. */
static const char *answer(void) {
  cw_server_turn(srv, false);
  ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
  got[n > 0 ? n : 0] = '\0';
  return got;
}

static void finish(void) {
  cw_req_finish(req, true);
  for (int i = 0; i < 3; i++) cw_server_turn(srv, false);
  close(fd);
  for (int i = 0; i < 3; i++) cw_server_turn(srv, false);
  assert_int_equal(cw_server_connections(srv), 0);
  cw_server_free(srv);
}

#define FIELD(name, value)      \
  {                             \
    {name, sizeof(name) - 1}, { \
      value, sizeof(value) - 1  \
    }                           \
  }

static void subprotocols_and_fields(void **state) {
  static const cw_field_t fields[] = {FIELD("X-One", "1"), FIELD("Set-Cookie", "a=b"),
                                      FIELD("Connection", "close"),
                                      FIELD("Content-Length", "5")};
  cw_span_t offered[2];
  begin(UPGRADE KEY
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, v2, other\r\n");
  assert_false(cw_ws_refuse(req));
  assert_true(cw_req_is_websocket(req));
  assert_false(cw_ws_is_accepted(req));
  assert_int_equal(cw_ws_subprotocols(req, offered, 2), 3);
  assert_memory_equal(offered[1].p, "v2", 2);
  assert_int_equal(cw_ws_accept(req, offered[1], fields, CW_ARRAY_LEN(fields)), CW_OK);
  assert_true(cw_ws_is_accepted(req));
  assert_string_equal(
      answer(),
      ANSWER "Sec-WebSocket-Protocol: v2\r\nX-One: 1\r\nSet-Cookie: a=b\r\n\r\n");
  finish();
}

static void what_may_not_be_sent(void **state) {
  static const cw_field_t bad[] = {FIELD("X One", "1"), FIELD("X", "a\r\nb"),
                                   FIELD("Sec-WebSocket-Protocol", "chat"),
                                   FIELD("sec-websocket-accept", "x")};
  begin(UPGRADE KEY "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n");
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, &bad[i], 1), CW_BAD);
  assert_int_equal(cw_ws_accept(req, SPAN("other"), NULL, 0), CW_BAD);
  assert_int_equal(cw_ws_accept(req, SPAN("Chat"), NULL, 0), CW_BAD);
  assert_string_equal(answer(), "");
  assert_int_equal(cw_ws_accept(req, SPAN("chat"), NULL, 0), CW_OK);
  assert_string_equal(answer(), ANSWER "Sec-WebSocket-Protocol: chat\r\n\r\n");
  assert_int_equal(cw_ws_accept(req, SPAN("chat"), NULL, 0), CW_BAD); /* twice */
  finish();
}

/* The denial is a response like any other, and the connection goes on. */
static void an_app_that_denies(void **state) {
  size_t taken;
  begin(UPGRADE KEY "Sec-WebSocket-Version: 13\r\n");
  assert_int_equal(cw_ws_accept(req, SPAN("none"), NULL, 0), CW_BAD);
  assert_int_equal(cw_resp_start(req, "403 Forbidden", 13), CW_OK);
  assert_int_equal(cw_resp_write(req, "no", 2, true, &taken), CW_OK);
  assert_int_equal(
      strncmp(answer(), "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n", 43), 0);
  cw_req_finish(req, true);
  cw_server_turn(srv, false);
  send_text(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  cw_server_turn(srv, false);
  assert_false(cw_req_is_websocket(req));
  assert_false(cw_ws_refuse(req));
  finish();
}

static void handshakes_that_are_refused(void **state) {
  begin(UPGRADE "Sec-WebSocket-Version: 13\r\n");
  assert_false(cw_req_is_websocket(req));
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_BAD);
  assert_true(cw_ws_refuse(req));
  assert_int_equal(strncmp(answer(), "HTTP/1.1 400 Bad Request\r\n", 26), 0);
  finish();
  begin(UPGRADE KEY "Sec-WebSocket-Version: 7\r\n");
  assert_true(cw_ws_refuse(req));
  assert_int_equal(strncmp(answer(), "HTTP/1.1 426 Upgrade Required\r\n", 31), 0);
  assert_non_null(strstr(got, "\r\nUpgrade: websocket\r\n"));
  assert_non_null(strstr(got, "\r\nSec-WebSocket-Version: 13\r\n"));
  assert_non_null(strstr(got, "\r\nConnection: upgrade\r\n"));
  finish();
}

static void a_client_that_has_left(void **state) {
  begin(UPGRADE KEY "Sec-WebSocket-Version: 13\r\n");
  close(fd);
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_LOST);
  assert_false(cw_ws_is_accepted(req));
  fd = -1;
  finish();
}

/* Its time was up and the client has its 504. */
static void a_request_that_is_too_late(void **state) {
  static const cw_limits_t limits = {USUAL_LIMITS, .request_timeout = 1000};
  ask(&limits, UPGRADE KEY "Sec-WebSocket-Version: 13\r\n");
  cw_timer_stop(&req->deadline);
  cw_conn_on_deadline(req);
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_LOST);
  assert_int_equal(strncmp(answer(), "HTTP/1.1 504 ", 13), 0);
  finish();
}

/* Afterwards it has none: a socket may be open for as long as it likes. */
static void a_request_timeout_ends_with_the_handshake(void **state) {
  static const cw_limits_t limits = {USUAL_LIMITS, .request_timeout = 1000};
  ask(&limits, UPGRADE KEY "Sec-WebSocket-Version: 13\r\n");
  assert_true(cw_timer_runs(&req->deadline, CW_TIMER_REQUEST));
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, NULL, 0), CW_OK);
  cw_server_turn(srv, false);
  assert_false(cw_timer_runs(&req->deadline, CW_TIMER_REQUEST));
  /* Nobody but its thread looks at its head from now on. */
  assert_true(cw_req_head(req)->n_fields > 0);
  cw_ws_message_t m;
  assert_int_equal(cw_ws_receive(req, &m), CW_WAIT);
  assert_int_equal(cw_req_head(req)->n_fields, 0);
  assert_memory_equal(cw_req_head(req)->path.p, "/a b", 4);
  finish();
}

/* The log's line at the end has all that it has of other requests. */
static void the_access_line(void **state) {
  static const cw_field_t fields[] = {FIELD("X-Id", "seven")};
  char path[64], line[256] = "";
  snprintf(path, sizeof(path), "%s/access", dir);
  int log = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  assert_true(log >= 0);
  cw_limits_t limits = {USUAL_LIMITS, .ws_size = 100, .ws_queue = 4};
  limits.access_log = path;
  limits.access_format =
      "%(m)s %(U)s %(q)s %(s)s %(b)s %({user-agent}i)s %({x-id}o)s %(H)s";
  ask(&limits, UPGRADE KEY "User-Agent: tests\r\nSec-WebSocket-Version: 13\r\n");
  assert_int_equal(cw_ws_accept(req, (cw_span_t){"", 0}, fields, 1), CW_OK);
  cw_server_turn(srv, false);
  assert_int_equal(cw_ws_send(req, true, "12345", 5), CW_OK);
  assert_int_equal(read(log, line, sizeof(line)), 0);
  finish();
  assert_true(read(log, line, sizeof(line) - 1) > 0);
  assert_string_equal(line, "GET /a b q 101 5 tests seven HTTP/1.1\n");
  close(log);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(subprotocols_and_fields),
      cmocka_unit_test(what_may_not_be_sent),
      cmocka_unit_test(an_app_that_denies),
      cmocka_unit_test(handshakes_that_are_refused),
      cmocka_unit_test(a_client_that_has_left),
      cmocka_unit_test(a_request_that_is_too_late),
      cmocka_unit_test(a_request_timeout_ends_with_the_handshake),
      cmocka_unit_test(the_access_line),
  };
  return RUN_IN_FOLDER(tests);
}
