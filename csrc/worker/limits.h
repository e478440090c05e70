/* SPDX-License-Identifier: MIT */
/* What the HTTP side is told of the settings. */
#ifndef CW_WORKER_LIMITS_H
#define CW_WORKER_LIMITS_H

#include "base/macros.h"
#include "base/options.h"
#include "http/server.h"

/* Fills `l` from settings that the supervisor has checked; texts are borrowed from `s`.
 * `workers`, at least 1, share the memory that the container grants.
 * Returns 0, or -1 when out of memory. */
CW_MUSTCHECK int cw_limits_read(const cw_settings_t *s, int workers, cw_limits_t *l);

void cw_limits_fini(cw_limits_t *l);

#endif
