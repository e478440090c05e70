/* SPDX-License-Identifier: MIT */
/* What a process that the app forks must not have of its worker: our sockets, and that
 * it is the server. Applications fork at any moment, in any thread (multiprocessing).
 *
 * Private descriptors are noted in one table for the process. Whoever makes or closes
 * one holds the table's lock from before the descriptor exists, or is gone, until the
 * table says so; a fork waits for that lock, so that a child knows them all. */
#ifndef CW_BASE_FORKED_H
#define CW_BASE_FORKED_H

#include <stdbool.h>

#include "base/macros.h"

/* Set in a process that was forked from a worker or a zygote by somebody else than us.
 * Never cleared. */
extern bool cw_forked_child;

/* Has every fork(2) from now on, in any thread and by whoever calls it, give the child
 * no private descriptor. `child` is called in the child, with all signals blocked: it
 * may only do what is async-signal-safe. vfork(2) and posix_spawn(3) are not seen:
 * their children call exec, which closes what is close-on-exec. Once in a process; 0 or
 * a negative errno. */
CW_MUSTCHECK int cw_forked_watch(void (*child)(void));

/* The next fork of this thread is ours: its child is no stranger and keeps everything.
 */
void cw_forked_expect(bool ours);

/* Any thread; neither allocates nor waits long. */
void cw_private_lock(void);
void cw_private_unlock(void);
/* The descriptor was made, or is about to be closed. The lock is held. */
void cw_private_add_locked(int fd);
void cw_private_remove_locked(int fd);

/* Both with the lock. */
void cw_private_add(int fd);
void cw_private_close(int fd);

#endif
