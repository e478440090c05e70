/* SPDX-License-Identifier: MIT */
/* Looking up and connecting to log and metrics daemons. */
#include "base/dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

int cw_dial_host(cw_dial_t *d, const char *host, const char *port, int type, char *err,
                 size_t err_len) {
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = type};
  struct addrinfo *list = NULL;
  int rc = getaddrinfo(host, port, &hints, &list);
  if (rc != 0) {
    snprintf(err, err_len, "cannot look up %s: %s", host, gai_strerror(rc));
    return -1;
  }
  const struct addrinfo *best = list;
  for (const struct addrinfo *a = list; a; a = a->ai_next)
    if (a->ai_family == AF_INET && best->ai_family != AF_INET) best = a;
  memcpy(&d->addr, best->ai_addr, best->ai_addrlen);
  d->len = best->ai_addrlen;
  d->type = type;
  freeaddrinfo(list);
  return 0;
}

int cw_dial_unix(cw_dial_t *d, const char *path, int type, char *err, size_t err_len) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  size_t n = strlen(path);
  if (n == 0 || n >= sizeof(un.sun_path)) {
    snprintf(err, err_len, "no path of a Unix socket: %s", path);
    return -1;
  }
  memcpy(un.sun_path, path, n + 1);
  memcpy(&d->addr, &un, sizeof(un));
  d->len = sizeof(un);
  d->type = type;
  return 0;
}

int cw_dial_connect(const cw_dial_t *d) {
  int fd = socket(d->addr.ss_family, d->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (const struct sockaddr *)&d->addr, d->len) != 0 &&
      errno != EINPROGRESS) {
    int err = -errno;
    close(fd);
    return err;
  }
  return fd;
}
