/* SPDX-License-Identifier: MIT */
/* Who the workers are: user, groups, umask; going to the background. */
#ifndef CW_SUPERVISOR_IDENTITY_H
#define CW_SUPERVISOR_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/macros.h"
#include "base/options.h"

enum { CW_MOST_GROUPS = 1024 };

typedef struct cw_identity {
  uid_t uid;
  gid_t gid;
  bool change;     /* something else than what this process is */
  bool own_groups; /* the groups are the user's, for want of --group */
  int n_groups;    /* all of them, `gid` too */
  gid_t groups[CW_MOST_GROUPS];
} cw_identity_t;

/* Looks --user and --group up. Returns 0, or -1 after saying what is wrong. */
CW_MUSTCHECK int cw_identity_look_up(const cw_settings_t *s, cw_identity_t *out);

/* The same, but remembers: a directory that tells of users may be slow, or away by the
 * time of the end. Same results. */
CW_MUSTCHECK int cw_identity_read(const cw_settings_t *s, cw_identity_t *out);

/* Becomes the user and group of the workers, for good, and sets --umask. With another
 * user there is no way back (no_new_privs), nobody of that user can look into this
 * process until it executes a program, and it is in a session of its own, without a
 * terminal. In a process that was just forked. Returns 0, or -1 after saying what
 * failed. */
CW_MUSTCHECK int cw_identity_assume(const cw_settings_t *s);

/* Goes to the background: a child in a session of its own lives on. This process waits
 * until cw_daemon_started() is called there, or it ends, and ends then. Returns a
 * descriptor for that call in the child, or -1 after saying what failed. */
CW_MUSTCHECK int cw_daemonize(void);

/* Ends the process that waits, with this exit code. */
void cw_daemon_started(int fd, int code);

#endif
