/* SPDX-License-Identifier: MIT */
/* Stuck workers, grown workers. */
#ifndef CW_SUPERVISOR_WATCH_H
#define CW_SUPERVISOR_WATCH_H

#include "supervisor/state.h"

/* Looks at all of them when it is time. Returns us until it wants to be called again,
 * or -1. */
CW_MUSTCHECK int64_t cw_watch(state_t *st);

#endif
