/* SPDX-License-Identifier: MIT */
/* Where datagrams and log lines are sent: an address that is looked up once and may be
 * connected to again and again without blocking. Not thread-safe. */
#ifndef CW_BASE_DIAL_H
#define CW_BASE_DIAL_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/macros.h"

typedef struct cw_dial {
  struct sockaddr_storage addr;
  socklen_t len;
  int type; /* SOCK_DGRAM or SOCK_STREAM */
} cw_dial_t;

/* Looks a host up; blocks for as long as the resolver does. IPv4 is preferred: daemons
 * on "localhost" hardly ever listen on ::1 alone. Returns 0, or -1 with the reason in
 * `err`. */
CW_MUSTCHECK int cw_dial_host(cw_dial_t *d, const char *host, const char *port,
                              int type, char *err, size_t err_len);

/* The same for a Unix socket's path. */
CW_MUSTCHECK int cw_dial_unix(cw_dial_t *d, const char *path, int type, char *err,
                              size_t err_len);

/* A non-blocking, close-on-exec socket on its way to the address, or a negative errno.
 */
CW_MUSTCHECK int cw_dial_connect(const cw_dial_t *d);

#endif
