/* SPDX-License-Identifier: MIT */
/* The supervisor: sockets, worker processes, signals. Single-threaded plain C; it never
 * maps an interpreter, so it stays small and forks fast. */
#ifndef CW_SUPERVISOR_SUPERVISOR_H
#define CW_SUPERVISOR_SUPERVISOR_H

#include "base/macros.h"
#include "base/options.h"

/* What the launcher does for the supervisor: everything that has to do with Python or
 * with the command line. `data` is passed to each. */
typedef struct cw_launcher {
  void *data;
  int argc;           /* the command line, for sys.argv and for starting again (USR2) */
  char **argv;        /* its own copies: titles are written over the words of main() */
  int cwd_fd;         /* the folder it was typed in */
  const char *python; /* the interpreter's path, for messages; */
  const char *version; /* its version, "3.13" */
  /* Turns the calling (new) process into the worker of `slot`, or into a zygote
   * (CW_SLOT_ZYGOTE) or a check of the app (CW_SLOT_CHECK). Never returns. */
  void (*enter_worker)(void *data, int heritage_fd, int slot);
  /* Turns the calling process into the helper that runs the master's hooks of `config`,
   * with one end of a SOCK_SEQPACKET pair. A module is looked for in `folder`; `log` is
   * the error log's path, or "-". */
  void (*enter_hooks)(void *data, int fd, const char *config, const char *folder,
                      const char *log);
  /* Reads all settings again from where they came, into an uninitialised `out`. Returns
   * 0, or -1 after saying what is wrong; `out` needs no fini then. */
  CW_MUSTCHECK int (*read_settings)(void *data, cw_settings_t *out);
} cw_launcher_t;

/* Binds, starts workers, watches them until a signal ends it all. Takes `settings`;
 * some defaults are worked out and filled in. Returns the exit code: 0 stopped as
 * asked, 1 bad configuration or cannot bind, 3 and 4 as a worker said. */
CW_MUSTCHECK int cw_supervise(const cw_launcher_t *launcher, cw_settings_t *settings);

/* --check-config and --print-config: the settings, and whether the app can be imported.
 * Returns the exit code, 0 or 1. */
CW_MUSTCHECK int cw_supervise_check(const cw_launcher_t *launcher,
                                    cw_settings_t *settings);

#endif
