/* SPDX-License-Identifier: MIT */
/* --prefetch: has the kernel read what a start will read before the interpreter asks
 * for it. Not a thread of a worker: an interpreter that is executed would end it, and
 * the page cache is everybody's. */
#ifndef CW_SUPERVISOR_PREFETCH_H
#define CW_SUPERVISOR_PREFETCH_H

#include <signal.h>

#include "base/options.h"

/* Starts processes that read the list's files ahead, as the workers' user, and end. To
 * be called in the app's folder. A list that is not there, or no list, is told of where
 * somebody has named it; the start goes on in any case. */
void cw_prefetch_start(const cw_settings_t *s, const sigset_t *mask);

#endif
