/* SPDX-License-Identifier: MIT */
/* Touching files on behalf of workers that are another user's. Root does it as that
 * user, who may put links and FIFOs where it can write, and thereby leads nowhere that
 * it could not go itself. Only where it has no right does root use its own, and only
 * where nothing on the way can have been put there by that user. */
#ifndef CW_SUPERVISOR_GUARDED_H
#define CW_SUPERVISOR_GUARDED_H

#include <stdbool.h>

#include "base/macros.h"
#include "supervisor/identity.h"

/* Does something with a path. Returns at least 0, or -1 with errno. */
typedef int cw_guarded_fn(const char *path, void *data);

/* Calls `fn` as `who`; if that fails for want of rights, once more as root where the
 * path cannot have been led astray (`*as_root` is true then). Where `who` is what this
 * process is, that is one plain call. Returns what `fn` did; errno is its, too. */
CW_MUSTCHECK int cw_guarded_call(const cw_identity_t *who, const char *path,
                                 cw_guarded_fn *fn, void *data, bool *as_root);

/* Opens a log file to append to. It is made where there is none, and given to `who`;
 * nothing else is ever handed over. Where `who` could have put it there, it must be a
 * regular file. Never waits for a FIFO's reader. A descriptor, or -1 with errno. */
CW_MUSTCHECK int cw_guarded_log(const cw_identity_t *who, const char *path);

/* Removes a file. Returns 0, or -1 with errno. */
int cw_guarded_unlink(const cw_identity_t *who, const char *path);

/* Whether `who` may change what is at `path`, or put something else in its place. False
 * also where that cannot be found out. */
bool cw_guarded_is_theirs(const cw_identity_t *who, const char *path);

#endif
