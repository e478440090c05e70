/* SPDX-License-Identifier: MIT */
/* Everything a client can send: bytes go through a socket into a real server, in pieces
 * that the input's first bytes choose; each request that comes out is run. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http_internal.h"

static cw_server_t *srv;
static cw_req_t *queue[64];
static int queued;
static cw_listener_t listener = {.fd = -1, .is_unix = 1, .host = "fuzz"};

static void on_ready(void *data, cw_req_t *req) {
  (void)data;
  assert(queued < 64);
  queue[queued++] = req;
}

static void on_blocking(void *data) {
  (void)data;
  abort(); /* nothing here waits */
}

/* The app: reads what is there of the body, checks what it was given, answers. */
static void run(cw_req_t *req) {
  const cw_head_t *h = cw_req_head(req);
  char buf[512];
  size_t taken;
  ssize_t n;
  int64_t got = 0;
  assert(h->method.len > 0 && h->target.len > 0);
  assert(!memchr(h->target.p, ' ', h->target.len));
  for (unsigned i = 0; i < h->n_fields; i++) {
    assert(h->fields[i].name.len > 0);
    assert(!memchr(h->fields[i].value.p, '\n', h->fields[i].value.len));
    assert(!memchr(h->fields[i].value.p, '\r', h->fields[i].value.len));
    assert(!memchr(h->fields[i].value.p, '\0', h->fields[i].value.len));
  }
  while ((n = cw_body_take(req, buf, sizeof(buf), h->n_fields % 2)) > 0) got += n;
  if (n == 0 && h->content_length >= 0) assert(got == h->content_length);
  if (cw_resp_start(req, "200 OK", 6) != 0 ||
      cw_resp_write(req, "ok", 2, true, &taken) == CW_WAIT)
    abort();
  cw_req_finish(req, true);
}

static void set_up(void) {
  static const cw_limits_t limits = {.request_line = 512,
                                     .field_size = 512,
                                     .fields = 20,
                                     .body = 4096,
                                     .buffer_body = 256,
                                     .keepalive = 60000,
                                     .header = 30000,
                                     .send = 60000,
                                     .body_pause = 60000,
                                     .request_timeout = 60000,
                                     .health = "/health",
                                     .access_log = "/dev/null",
                                     .access_format = "gcp",
                                     .forwarder_headers = "SCRIPT_NAME,X_A",
                                     .proxy_mode = CW_PROXY_AUTO,
                                     .trusted = {.all = true},
                                     .proxies = {.all = true}};
  const cw_host_t host = {.ready = on_ready, .blocking = on_blocking};
  const char *reason;
  srv = cw_server_new(&listener, 0, &limits, &host, &reason);
  if (!srv) abort();
}

static void turn(void) {
  cw_server_turn(srv, false);
  while (queued) {
    cw_req_t *req = queue[--queued];
    run(req);
    cw_server_turn(srv, false);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
  char answers[4096];
  int fds[2];
  if (size < 2) return 0;
  if (!srv) set_up();
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) abort();
  cw_conn_accept(srv, &listener, fds[0], &peer);
  size_t step = data[0] ? data[0] : size;
  for (size_t at = 1; at < size; at += step) {
    size_t n = CW_MIN(step, size - at);
    if (send(fds[1], data + at, n, MSG_NOSIGNAL) < 0) break; /* refused and closed */
    turn();
  }
  shutdown(fds[1], SHUT_WR);
  turn();
  ssize_t n = recv(fds[1], answers, sizeof(answers), 0);
  if (n > 0) assert(n >= 12 && memcmp(answers, "HTTP/1.1 ", 9) == 0);
  close(fds[1]);
  turn();
  turn();
  assert(cw_server_connections(srv) == 0);
  return 0;
}
