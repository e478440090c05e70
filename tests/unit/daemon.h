/* SPDX-License-Identifier: MIT */
/* Stand-ins for daemons that are sent lines. */
#ifndef CW_TESTS_DAEMON_H
#define CW_TESTS_DAEMON_H

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/folder.h" /* where their sockets are */

/* A bound Unix socket; its address goes to `to`. */
static inline int daemon_at(const char *name, int type, char *to, size_t size) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, type, 0);
  snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name);
  unlink(un.sun_path);
  assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
  if (type == SOCK_STREAM) assert_int_equal(listen(fd, 8), 0);
  snprintf(to, size, "unix://%s", un.sun_path);
  return fd;
}

/* The next datagram, or what has come of a stream. */
static inline void got(int fd, const char *wanted) {
  char buf[4096];
  ssize_t n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
  assert_true(n >= 0);
  buf[n] = '\0';
  assert_string_equal(buf, wanted);
}

#endif
