/* SPDX-License-Identifier: MIT */
/* What a statsd daemon gets: forms of the lines, and that neither a missing
 * nor a stuck daemon holds anybody up. */
#include "unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/statsd.h"
#include "unit/daemon.h"

static char err[200];

static void nothing(int fd) {
  char byte;
  assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
}

static void statsd_lines(void **state) {
  static cw_statsd_t s;
  char to[200];
  int fd = daemon_at("statsd", SOCK_DGRAM, to, sizeof(to));
  assert_int_equal(cw_statsd_open(&s, to, "shop..", "env:prod,x", err, sizeof(err)), 0);
  cw_statsd_count(&s, "gunicorn.requests", 1);
  cw_statsd_timing(&s, "gunicorn.request.duration", 12045);
  cw_statsd_gauge(&s, "gunicorn.workers", 3);
  nothing(fd);
  cw_statsd_flush(&s);
  got(fd,
      "shop.gunicorn.requests:1|c|@1.0|#env:prod,x\n"
      "shop.gunicorn.request.duration:12.045|ms|#env:prod,x\n"
      "shop.gunicorn.workers:3|g|#env:prod,x");
  cw_statsd_close(&s);
  assert_int_equal(cw_statsd_open(&s, to, "", "", err, sizeof(err)), 0);
  cw_statsd_count(&s, "a", -2);
  cw_statsd_close(&s);
  got(fd, "a:-2|c|@1.0");
  close(fd);
}

static void statsd_datagrams_are_small(void **state) {
  static cw_statsd_t s;
  char to[200], buf[4096];
  int fd = daemon_at("statsd", SOCK_DGRAM, to, sizeof(to)), seen = 0;
  assert_int_equal(cw_statsd_open(&s, to, "", "", err, sizeof(err)), 0);
  for (int i = 0; i < 200; i++) cw_statsd_count(&s, "gunicorn.request.status.200", 1);
  cw_statsd_flush(&s);
  for (ssize_t n; (n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0;) {
    assert_true(n <= CW_STATSD_DATAGRAM);
    assert_memory_equal(buf + n - 4, "@1.0", 4);
    for (ssize_t i = 0; i < n; i++) seen += buf[i] == '|' && buf[i + 1] == 'c';
  }
  assert_int_equal(seen, 200);
  close(fd); /* gone, then back */
  cw_statsd_count(&s, "x", 1);
  cw_statsd_flush(&s);
  fd = daemon_at("statsd", SOCK_DGRAM, to, sizeof(to));
  cw_statsd_count(&s, "y", 1);
  cw_statsd_flush(&s);
  cw_statsd_count(&s, "z", 1);
  cw_statsd_flush(&s);
  got(fd, "z:1|c|@1.0");
  cw_statsd_close(&s);
  close(fd);
}

static void statsd_over_udp(void **state) {
  static cw_statsd_t s;
  struct sockaddr_in in = {.sin_family = AF_INET,
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof(in);
  char to[40];
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
  getsockname(fd, (struct sockaddr *)&in, &len);
  snprintf(to, sizeof(to), "localhost:%d", ntohs(in.sin_port));
  assert_int_equal(cw_statsd_open(&s, to, "p", "", err, sizeof(err)), 0);
  cw_statsd_count(&s, "n", 1);
  cw_statsd_close(&s);
  got(fd, "p.n:1|c|@1.0");
  close(fd);
  assert_int_equal(cw_statsd_check("nowhere:x", err, sizeof(err)), -1);
  assert_int_equal(
      cw_statsd_open(&s, "no.such.host.invalid:1", "", "", err, sizeof(err)), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(statsd_lines),
      cmocka_unit_test(statsd_datagrams_are_small),
      cmocka_unit_test(statsd_over_udp),
  };
  alarm(60); /* nothing here may wait */
  return RUN_IN_FOLDER(tests);
}
