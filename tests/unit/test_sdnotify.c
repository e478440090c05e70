/* SPDX-License-Identifier: MIT */
/* What a service manager hears, at a path or an abstract address. */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "supervisor/sdnotify.h"
#include "unit/daemon.h"

static void by_path(void **state) {
  char to[200];
  int fd = daemon_at("notify", SOCK_DGRAM, to, sizeof(to));
  setenv("NOTIFY_SOCKET", to + strlen("unix://"), 1);
  cw_sd_notify("READY=1\nMAINPID=7");
  got(fd, "READY=1\nMAINPID=7");
  close(fd);
}

static void by_abstract_address(void **state) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  char name[60];
  int n = snprintf(name, sizeof(name), "@cwsgi-unit-%d", (int)getpid());
  memcpy(un.sun_path + 1, name + 1, (size_t)n - 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  assert_int_equal(
      bind(fd, (struct sockaddr *)&un,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
      0);
  setenv("NOTIFY_SOCKET", name, 1);
  cw_sd_notify("STOPPING=1");
  got(fd, "STOPPING=1");
  close(fd);
}

/* A path that is none says nothing; one where nobody listens is told of in the log. */
static void where_nobody_listens(void **state) {
  char path[200], text[400], err[128];
  (void)cw_log_take_count(CW_LOG_WARNING);
  unsetenv("NOTIFY_SOCKET");
  cw_sd_notify("READY=1");
  setenv("NOTIFY_SOCKET", "relative", 1);
  cw_sd_notify("READY=1");
  memset(text, 'x', 300);
  text[0] = '/';
  text[300] = '\0';
  setenv("NOTIFY_SOCKET", text, 1);
  cw_sd_notify("READY=1");
  assert_int_equal(cw_log_take_count(CW_LOG_WARNING), 0);
  assert_int_equal(cw_log_open("/dev/null", err, sizeof(err)), 0);
  snprintf(path, sizeof(path), "%s/nobody", dir);
  setenv("NOTIFY_SOCKET", path, 1);
  cw_sd_notify("READY=1");
  assert_int_equal(cw_log_take_count(CW_LOG_WARNING), 1);
  assert_int_equal(cw_log_open("-", err, sizeof(err)), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(by_path),
      cmocka_unit_test(by_abstract_address),
      cmocka_unit_test(where_nobody_listens),
  };
  return RUN_IN_FOLDER(tests);
}
