/* SPDX-License-Identifier: MIT */
/* Who the workers are: user, groups, umask; the pid file; going to the background. */
#ifndef CW_SUPERVISOR_IDENTITY_H
#define CW_SUPERVISOR_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/macros.h"
#include "base/options.h"

typedef struct cw_identity {
  uid_t uid;
  gid_t gid;
  bool change;      /* something else than what this process is */
  const char *name; /* of the user, for initgroups; NULL without */
  char name_text[64];
} cw_identity_t;

/* Looks --user and --group up. Returns 0, or -1 after saying what is wrong. */
CW_MUSTCHECK int cw_identity_read(const cw_settings_t *s, cw_identity_t *out);

/* Gives a file to the user and group of the workers. Returns 0 or -1 with errno. */
CW_MUSTCHECK int cw_identity_own(const cw_identity_t *who, const char *path);

/* Becomes the user and group of the workers, for good, and sets --umask. Returns 0, or
 * -1 after saying what failed. */
CW_MUSTCHECK int cw_identity_assume(const cw_settings_t *s);

/* Writes this process's id to `path`, unless it names a process that lives. Returns 0,
 * or -1 after saying what is wrong. */
CW_MUSTCHECK int cw_pidfile_write(const char *path);
/* Removes it where it is ours. */
void cw_pidfile_remove(const char *path);

/* Goes to the background: a child in a session of its own lives on, this process ends.
 * Standard error becomes the error log's file where there is one. Returns 0 in the
 * child, or -1 after saying what failed. */
CW_MUSTCHECK int cw_daemonize(bool keep_stdio);

#endif
