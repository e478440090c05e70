/* SPDX-License-Identifier: MIT */
/* The pid file: names the supervisor while it runs. */
#ifndef CW_SUPERVISOR_PIDFILE_H
#define CW_SUPERVISOR_PIDFILE_H

#include "base/macros.h"
#include "base/options.h"

/* Writes this process's id to `path`, unless that names another cwsgi that runs.
 * Whoever looks finds a whole file or none. `s` says whose the workers are. Returns 0,
 * or -1 after saying what is wrong. */
CW_MUSTCHECK int cw_pidfile_write(const cw_settings_t *s, const char *path);

/* Renames it. Returns 0, or -1 with errno. */
CW_MUSTCHECK int cw_pidfile_move(const cw_settings_t *s, const char *from,
                                 const char *to);

/* Removes it where it is ours. */
void cw_pidfile_remove(const cw_settings_t *s, const char *path);

#endif
