/* SPDX-License-Identifier: MIT */
/* HUP: a new generation of workers. */
#ifndef CW_SUPERVISOR_RELOAD_H
#define CW_SUPERVISOR_RELOAD_H

#include "supervisor/state.h"

/* Reads the settings anew. The generation becomes `st->gen`, the one before it
 * `st->fallback`; where they cannot be used, nothing changes, and that is said. */
void cw_reload(state_t *st);

/* Goes back to `st->fallback`. */
void cw_reload_failed(state_t *st, const char *why);

#endif
