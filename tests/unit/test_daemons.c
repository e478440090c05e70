/* SPDX-License-Identifier: MIT */
/* What syslog and statsd daemons get: forms of the lines, and that neither a missing
 * nor a stuck daemon holds anybody up. */
#include "unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/dial.h"
#include "base/statsd.h"
#include "base/syslog.h"

static char dir[] = "/tmp/cwsgi-unit-XXXXXX";
static char err[200];

/* A bound Unix socket; its address goes to `to`. */
static int daemon_at(const char *name, int type, char *to, size_t size) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, type, 0);
  snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name);
  unlink(un.sun_path);
  assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
  if (type == SOCK_STREAM) assert_int_equal(listen(fd, 8), 0);
  snprintf(to, size, "unix://%s", un.sun_path);
  return fd;
}

static void got(int fd, const char *wanted) {
  char buf[4096];
  ssize_t n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
  assert_true(n >= 0);
  buf[n] = '\0';
  assert_string_equal(buf, wanted);
}

static void nothing(int fd) {
  char byte;
  assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
}

static void syslog_lines(void **state) {
  char buf[100];
  size_t n =
      cw_syslog_format(buf, sizeof(buf), cw_syslog_facility("local3"), "gunicorn.x",
                       CW_SYSLOG_ERROR, CW_LOG_ERROR, 77, "boom", 4);
  buf[n] = '\0';
  assert_string_equal(buf, "<155>gunicorn.x.error: [77] boom");
  n = cw_syslog_format(buf, 40, 1, "a", CW_SYSLOG_ACCESS, CW_LOG_INFO, 1,
                       "0123456789012345678901234567890123456789", 40);
  assert_int_equal(n, 40);
  assert_memory_equal(buf, "<14>a.access: [1] 0123456789012345678901", 40);
  assert_int_equal(cw_syslog_facility("USER"), 1);
  assert_int_equal(cw_syslog_facility("nope"), -1);
  char name[40];
  cw_syslog_name(name, sizeof(name), NULL, "pkg.app:main");
  assert_string_equal(name, "cwsgi.pkg.app.main");
  cw_syslog_name(name, sizeof(name), "shop", "app");
  assert_string_equal(name, "gunicorn.shop");
}

static void syslog_addresses(void **state) {
  static const char *const good[] = {"udp://localhost:514",   "tcp://[::1]:6514",
                                     "unix:///dev/log#dgram", "unix:///dev/log#stream",
                                     "unix:///dev/log",       "udp://h"};
  static const char *const bad[] = {"localhost:514",       "http://h",  "unix://",
                                    "unix:///x#seqpacket", "udp://h:x", ""};
  for (size_t i = 0; i < CW_ARRAY_LEN(good); i++)
    assert_int_equal(cw_syslog_check(good[i], "user", err, sizeof(err)), 0);
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_syslog_check(bad[i], "user", err, sizeof(err)) == 0)
      fail_msg("taken: %s", bad[i]);
  assert_int_equal(cw_syslog_check(good[0], "nope", err, sizeof(err)), -1);
}

static void syslog_survives_its_daemon(void **state) {
  char to[200], wanted[100];
  int fd = daemon_at("log", SOCK_DGRAM, to, sizeof(to));
  assert_int_equal(cw_syslog_open(to, "user", "app", err, sizeof(err)), 0);
  assert_true(cw_syslog_on());
  cw_log(CW_LOG_WARNING, "one\ntwo");
  snprintf(wanted, sizeof(wanted), "<12>app.error: [%d] one\\x0Atwo", (int)getpid());
  got(fd, wanted);
  cw_log_text(CW_LOG_ERROR, "Traceback\n  File\nE\n", 19, "failed");
  snprintf(wanted, sizeof(wanted), "<11>app.error: [%d] failed\nTraceback\n  File\nE",
           (int)getpid());
  got(fd, wanted);
  static char big[20000];
  memset(big, 'x', sizeof(big));
  cw_syslog_send_block(CW_LOG_ERROR, "l", 1, big, sizeof(big));
  char part[CW_SYSLOG_MESSAGE + 10];
  assert_int_equal(recv(fd, part, sizeof(part), MSG_DONTWAIT), CW_SYSLOG_MESSAGE);
  cw_syslog_send_block(CW_LOG_ERROR, big, sizeof(big), "t", 1);
  assert_int_equal(recv(fd, part, sizeof(part), MSG_DONTWAIT), CW_SYSLOG_MESSAGE);
  /* A full queue: dropped, not waited for. */
  for (int i = 0; i < 5000; i++) cw_syslog_send(CW_SYSLOG_ACCESS, CW_LOG_INFO, "x", 1);
  close(fd);
  cw_syslog_send(CW_SYSLOG_ACCESS, CW_LOG_INFO, "lost", 4);
  cw_syslog_close();
  fd = daemon_at("log", SOCK_DGRAM, to, sizeof(to));
  assert_int_equal(cw_syslog_open(to, "user", "app", err, sizeof(err)), 0);
  close(fd); /* and comes back under the same path */
  fd = daemon_at("log", SOCK_DGRAM, to, sizeof(to));
  cw_syslog_send(CW_SYSLOG_ACCESS, CW_LOG_INFO, "back", 4);
  snprintf(wanted, sizeof(wanted), "<14>app.access: [%d] back", (int)getpid());
  got(fd, wanted);
  cw_syslog_close();
  assert_false(cw_syslog_on());
  close(fd);
}

static void syslog_over_a_stream(void **state) {
  char to[200], wanted[100];
  int fd = daemon_at("stream", SOCK_STREAM, to, sizeof(to));
  /* Without "#stream": found out by trying. */
  assert_int_equal(cw_syslog_open(to, "daemon", "a", err, sizeof(err)), 0);
  int peer = accept(fd, NULL, NULL);
  assert_true(peer >= 0);
  cw_syslog_send(CW_SYSLOG_ACCESS, CW_LOG_INFO, "1", 1);
  cw_syslog_send(CW_SYSLOG_ACCESS, CW_LOG_INFO, "2", 1);
  snprintf(wanted, sizeof(wanted), "<30>a.access: [%d] 1\n<30>a.access: [%d] 2\n",
           (int)getpid(), (int)getpid());
  got(peer, wanted);
  cw_syslog_send_block(CW_LOG_ERROR, "l", 1, "t1\n\nt2", 6);
  snprintf(wanted, sizeof(wanted),
           "<27>a.error: [%d] l\n<27>a.error: [%d] t1\n<27>a.error: [%d] t2\n",
           (int)getpid(), (int)getpid(), (int)getpid());
  got(peer, wanted);
  for (int i = 0; i < 100000; i++)
    cw_syslog_send(CW_SYSLOG_ACCESS, CW_LOG_INFO, "x", 1);
  cw_syslog_close();
  close(peer);
  close(fd);
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

/* cw_log() to a file that is rotated. */
static void error_log_files(void **state) {
  char path[100], moved[100], text[400];
  (void)cw_log_take_count(CW_LOG_ERROR); /* of other tests */
  snprintf(path, sizeof(path), "%s/error.log", dir);
  snprintf(moved, sizeof(moved), "%s/error.log.1", dir);
  assert_int_equal(cw_log_open("/no/such/folder/x", err, sizeof(err)), -1);
  assert_non_null(strstr(err, "/no/such/folder/x"));
  assert_int_equal(cw_log_fd(), STDERR_FILENO);
  assert_int_equal(cw_log_open(path, err, sizeof(err)), 0);
  int fd = cw_log_fd();
  cw_log(CW_LOG_ERROR, "first");
  assert_int_equal(rename(path, moved), 0);
  cw_log(CW_LOG_ERROR, "second");
  cw_log_reopen();
  assert_int_equal(cw_log_fd(), fd);
  cw_log(CW_LOG_ERROR, "third");
  assert_int_equal(cw_log_open("-", err, sizeof(err)), 0);
  FILE *f = fopen(moved, "r");
  size_t n = fread(text, 1, sizeof(text) - 1, f);
  text[n] = '\0';
  fclose(f);
  assert_non_null(strstr(text, "] [ERROR] first\n"));
  assert_non_null(strstr(text, "] [ERROR] second\n"));
  f = fopen(path, "r");
  n = fread(text, 1, sizeof(text) - 1, f);
  text[n] = '\0';
  fclose(f);
  assert_non_null(strstr(text, "] [ERROR] third\n"));
  assert_null(strstr(text, "second"));
  assert_int_equal(cw_log_take_count(CW_LOG_ERROR), 3);
  assert_int_equal(cw_log_take_count(CW_LOG_ERROR), 0);
  unlink(path);
  unlink(moved);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(syslog_lines),
      cmocka_unit_test(syslog_addresses),
      cmocka_unit_test(syslog_survives_its_daemon),
      cmocka_unit_test(syslog_over_a_stream),
      cmocka_unit_test(statsd_lines),
      cmocka_unit_test(statsd_datagrams_are_small),
      cmocka_unit_test(statsd_over_udp),
      cmocka_unit_test(error_log_files),
  };
  char command[64];
  alarm(60); /* nothing here may wait */
  if (!mkdtemp(dir)) return 1;
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  snprintf(command, sizeof(command), "rm -r %s", dir);
  return system(command) != 0 ? 1 : rc;
}
