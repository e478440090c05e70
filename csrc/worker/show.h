/* SPDX-License-Identifier: MIT */
/* What every thread of this worker is doing, for `cwsgi dump`: the tool sends
 * CW_SIGNAL_SHOW, and the worker writes to the board. */
#ifndef CW_WORKER_SHOW_H
#define CW_WORKER_SHOW_H

#include <stdbool.h>

#include "base/board.h"
#include "wsgi/python.h"

/* As early as there is somebody to show: an import may hang. `slot` is the worker's,
 * or CW_SLOT_ZYGOTE. Main thread, GIL held. */
CW_RAISES int cw_show_init(cw_board_t *board, int slot);

/* A zygote's child is the worker of `slot` now. */
void cw_show_forked(int slot);

/* Whether the tool wants it in the signal's handler, since the loop does not turn. */
bool cw_show_now(void);

/* Writes all stacks to the board. With `may_load` C's, too, though that may load a
 * library. Any thread, without the GIL; async-signal-safe but for `may_load`. */
void cw_show(bool may_load);

#endif
