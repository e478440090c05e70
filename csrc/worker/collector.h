/* SPDX-License-Identifier: MIT */
/* The garbage collector while an app is imported: what an import makes, it keeps, and
 * to look through all of it again and again takes a twentieth to a tenth of the import.
 */
#ifndef CW_WORKER_COLLECTOR_H
#define CW_WORKER_COLLECTOR_H

#include "wsgi/python.h"

/* Has it rest, unless somebody has turned it off already: until cw_collector_resume(),
 * or until the process has grown by CW_COLLECTOR_MOST bytes or has CW_COLLECTOR_FILES
 * more descriptors, for an import may leave garbage, too; or until the app forks.
 * Functions enable, disable and isenabled of module gc tell and keep meanwhile what the
 * app wants to be afterwards. Where /proc is missing, or a thread cannot be made,
 * nothing changes. Returns 0, or -1 with an exception. Main thread, GIL held. */
CW_RAISES int cw_collector_pause(void);

/* Has it be as the app wants it, and counts what was made as old, so that the first
 * request need not wait until all of it was looked through; where the app has frozen
 * objects, nothing is counted otherwise. Keeps an exception that is set. Main thread,
 * GIL held. */
void cw_collector_resume(void);

enum { CW_COLLECTOR_MOST = 64 << 20, CW_COLLECTOR_FILES = 100 };

#endif
