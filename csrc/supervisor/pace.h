/* SPDX-License-Identifier: MIT */
/* How often something that others can bring about may wake the supervisor. */
#ifndef CW_SUPERVISOR_PACE_H
#define CW_SUPERVISOR_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

typedef struct pace {
  int64_t since; /* begin of the present window, us */
  int n;         /* times in it */
} pace_t;

/* Whether one more event of this kind may be looked at now. Where not, `*wait` (us, -1:
 * none) becomes no longer than the time until then. */
CW_MUSTCHECK bool cw_pace_allows(const pace_t *p, int64_t now, int64_t *wait);

/* Counts one that was looked at. */
void cw_pace_note(pace_t *p, int64_t now);

#endif
