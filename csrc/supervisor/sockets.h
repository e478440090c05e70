/* SPDX-License-Identifier: MIT */
/* Listening sockets: bound early here, made to listen by the first ready worker. */
#ifndef CW_SUPERVISOR_SOCKETS_H
#define CW_SUPERVISOR_SOCKETS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/heritage.h"
#include "base/options.h"

/* What cw_sockets_hand_over() writes, for a cwsgi that USR2 starts beside this one. It
 * begins with the process id of the older one. */
#define CW_ENV_UPGRADE "CWSGI_UPGRADE"

typedef struct cw_sockets {
  cw_listener_t l[CW_MAX_LISTENERS];
  char *text[CW_MAX_LISTENERS]; /* as they were asked for; owned */
  int n;
  bool inherited; /* made by somebody else: whatever --bind says */
} cw_sockets_t;

/* Opens a socket for every address of the settings (cw_binds_work_out() has seen them),
 * taking a copy of that of `old` (may be NULL: those of the cwsgi before an upgrade)
 * where it has the same address. Without either, those of systemd come first. An
 * address in use is tried for 5 s where nothing is served yet, unless a signal to stop
 * is pending. Returns 0, or -1 after the reason was written to standard error. */
CW_MUSTCHECK int cw_sockets_open(const cw_settings_t *s, const cw_sockets_t *old,
                                 cw_sockets_t *out);

/* In a child that is about to execute cwsgi: has it find all of `set` open. `pid` is
 * the present cwsgi's. Returns 0, or -1 with errno. */
CW_MUSTCHECK int cw_sockets_hand_over(const cw_sockets_t *set, pid_t pid);

/* Closes the sockets. With `remove` (may be NULL), the settings that they were opened
 * with, also the files of Unix sockets go, but for those that `keep` (may be NULL) has,
 * too. */
void cw_sockets_close(cw_sockets_t *set, const cw_sockets_t *keep,
                      const cw_settings_t *remove);

/* "http://127.0.0.1:8080" or "unix:/run/app.sock". */
void cw_socket_name(const cw_listener_t *l, char *out, size_t len);

#endif
