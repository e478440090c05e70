/* SPDX-License-Identifier: MIT */
/* The supervisor: sockets, worker processes, signals. Single-threaded plain C; it never
 * maps an interpreter, so it stays small and forks fast. */
#ifndef CW_SUPERVISOR_SUPERVISOR_H
#define CW_SUPERVISOR_SUPERVISOR_H

#include "base/macros.h"
#include "base/options.h"

typedef struct cw_supervisor {
  cw_settings_t *settings; /* some defaults are worked out and filled in */
  int argc;                /* the command line, for sys.argv */
  char **argv;
  const char *python; /* the interpreter's path, for messages */
  /* Turns the calling (new) process into the worker of `slot`; never returns. */
  void (*enter)(void *data, int heritage_fd, int slot);
  void *data;
} cw_supervisor_t;

/* Binds, starts workers, watches them until a signal ends it all. Returns the exit
 * code: 0 stopped as asked, 1 bad configuration or cannot bind, 3 and 4 as a worker
 * said. */
CW_MUSTCHECK int cw_supervise(cw_supervisor_t *how);

#endif
