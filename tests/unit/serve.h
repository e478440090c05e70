/* SPDX-License-Identifier: MIT */
/* A server without sockets of its own, and clients over socket pairs: what the tests of
 * http/ begin with. One thread does everything. */
#ifndef CW_TESTS_SERVE_H
#define CW_TESTS_SERVE_H

#include <sys/socket.h>

#include "http/server_internal.h"
#include "unit/unit.h"

/* Small where a test wants to reach the limit, and no clock runs out by itself. */
#define USUAL_LIMITS                                                       \
  .head = 64 * 1024, .request_line = 512, .field_size = 512, .fields = 40, \
  .buffer_body = 256, .idle = 60000, .header = 30000, .send = 60000,       \
  .body_pause = 60000

static cw_listener_t service = {.fd = -1, .is_unix = 1, .host = "unit"};

/* The server of the protocol; the test frees it. */
static inline cw_server_t *serve(const cw_protocol_t *protocol,
                                 const cw_limits_t *limits, const cw_host_t *host) {
  const char *reason = "?";
  cw_server_t *server = cw_server_new(protocol, &service, 0, limits, host, &reason);
  if (!server) fail_msg("%s", reason);
  return server;
}

/* A connection that came by the listener `l`. Returns the client's end, which does not
 * block. */
static inline int dial_by(cw_server_t *server, const cw_listener_t *l) {
  struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
  int fds[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  cw_conn_accept(server, l, fds[0], &peer);
  return fds[1];
}

/* Sends all of the text. */
static inline void send_text(int fd, const char *text) {
  assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* For `blocking` of a host: nothing may wait where there is one thread. */
static inline void must_not_block(void *data) {
  fail();
}

#endif
