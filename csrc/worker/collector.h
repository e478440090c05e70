/* SPDX-License-Identifier: MIT */
/* The garbage collector while an app is imported: what an import makes, it keeps. The
 * collector would look through it every 700 or 2,000 objects all the same. */
#ifndef CW_WORKER_COLLECTOR_H
#define CW_WORKER_COLLECTOR_H

#include "wsgi/python.h"

/* Has the collector look only where CW_COLLECTOR_YOUNG objects are new: the first
 * number of gc.set_threshold(). It stays on, so that an app which makes cycles while it
 * is imported holds no more than that many. Left as it is where a sitecustomize has
 * asked for fewer looks still, or for none. Returns 0, or -1 with an exception. GIL
 * held. */
CW_RAISES int cw_collector_relax(void);

/* Gives the number back, unless the app has set another, and counts what was made as
 * old, so that the first request need not wait until it was looked through. What the
 * app itself has frozen stays so. Returns 0, or -1 with an exception. GIL held. */
CW_RAISES int cw_collector_restore(void);

/* A number that no app picks. */
enum { CW_COLLECTOR_YOUNG = 50021 };

#endif
