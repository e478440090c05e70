/* SPDX-License-Identifier: MIT */
/* Listening sockets: bound early here, made to listen by the first ready worker. */
#ifndef CW_SUPERVISOR_SOCKETS_H
#define CW_SUPERVISOR_SOCKETS_H

#include <stdbool.h>

#include "base/heritage.h"
#include "base/options.h"

/* "PID FD FD ...": the cwsgi that started this one beside itself (USR2), and its
 * listening sockets. */
#define CW_ENV_UPGRADE "CWSGI_UPGRADE"

typedef struct cw_sockets {
  cw_listener_t l[CW_MAX_LISTENERS];
  char *text[CW_MAX_LISTENERS]; /* as they were asked for; owned */
  int n;
  bool inherited; /* made by somebody else: whatever --bind says */
} cw_sockets_t;

/* Opens a socket for every address of the settings ($PORT or 8080 where there is none),
 * taking a copy of that of `old` (may be NULL) where it has the same address. Without
 * `old`, sockets that were handed to this process come first: those of systemd or of an
 * upgrade. Returns 0, or -1 after the reason was written to standard error. */
CW_MUSTCHECK int cw_sockets_open(const cw_settings_t *s, const cw_sockets_t *old,
                                 cw_sockets_t *out);

/* Closes the sockets; with `remove` also the files of Unix sockets go, but for those
 * that `keep` (may be NULL) has, too. */
void cw_sockets_close(cw_sockets_t *set, const cw_sockets_t *keep, bool remove);

/* "http://127.0.0.1:8080" or "unix:/run/app.sock". */
void cw_socket_name(const cw_listener_t *l, char *out, size_t len);

#endif
