/* SPDX-License-Identifier: MIT */
/* Settings before they are used: defaults that depend on where we run, values that the
 * option table cannot judge. */
#ifndef CW_SUPERVISOR_CHECKS_H
#define CW_SUPERVISOR_CHECKS_H

#include <stdbool.h>

#include "base/macros.h"
#include "base/options.h"

/* Fills in what depends on the machine and the platform. `*automatic` says that the
 * number of workers is ours to choose. Returns 0, or -1 when out of memory (said). */
CW_MUSTCHECK int cw_settings_work_out(cw_settings_t *s, bool *automatic);

/* Whether every value can be used. Returns 0, or -1 after saying what is wrong on one
 * line. */
CW_MUSTCHECK int cw_settings_check(const cw_settings_t *s);

#endif
