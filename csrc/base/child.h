/* SPDX-License-Identifier: MIT */
/* Forking a process of ours: what it is not to have of its parent. The one place where
 * launcher/ and supervisor/ fork children. */
#ifndef CW_BASE_CHILD_H
#define CW_BASE_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/macros.h"

typedef struct cw_child {
  const sigset_t *mask; /* signals that it blocks; NULL: those that this process does */
  int death_signal;     /* it gets this when its parent ends, however; 0: it lives on */
  const int *keep;      /* n_keep descriptors that it keeps, exec or not; < 0: none */
  size_t n_keep;
  /* It may go on without exec(2), so what that would close is closed at once, but for
   * the log's file. A socket that it kept would listen when nobody serves it any more.
   */
  bool closes_private;
} cw_child_t;

/* fork(2), and in the child all of `how`. The calling process has one thread. Returns
 * as fork(2). */
CW_MUSTCHECK pid_t cw_child_fork(const cw_child_t *how);

/* In a child: has the kernel send it `sig` when `parent` ends; ends at once where that
 * is over already. A change of user makes the kernel forget it: call it again then. */
void cw_child_tie(pid_t parent, int sig);

#endif
