/* SPDX-License-Identifier: MIT */
/* What a syslog daemon gets: forms of the lines, and that neither a missing
 * nor a stuck daemon holds anybody up. */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/syslog.h"
#include "unit/daemon.h"

static char err[200];

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(syslog_lines),
      cmocka_unit_test(syslog_addresses),
      cmocka_unit_test(syslog_survives_its_daemon),
      cmocka_unit_test(syslog_over_a_stream),
  };
  alarm(60); /* nothing here may wait */
  return RUN_IN_FOLDER(tests);
}
