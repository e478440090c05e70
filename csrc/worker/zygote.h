/* SPDX-License-Identifier: MIT */
/* --preload: forking workers from a process that has imported the app. */
#ifndef CW_WORKER_ZYGOTE_H
#define CW_WORKER_ZYGOTE_H

#include "base/heritage.h"
#include "wsgi/python.h"

/* Says that the app is here, then forks a worker whenever the supervisor asks for one.
 * Returns in each worker, with its slot and in *word_fd its end of the pipe in which
 * the supervisor speaks to it (the caller's), and in the zygote itself, with
 * CW_SLOT_ZYGOTE, when the supervisor has closed its end; -2 with an exception set. GIL
 * held, main thread. */
CW_RAISES int cw_zygote_serve(const cw_heritage_t *h, int *word_fd);

#endif
