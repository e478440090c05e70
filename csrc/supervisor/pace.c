/* SPDX-License-Identifier: MIT */
/* At most so many looks in so much time. */
#include "supervisor/pace.h"

/* A worker that writes to us without end gets this many looks in so much time: far more
 * than an honest one needs, and less than a hundredth of a processor. */
enum { WINDOW_US = 100 * 1000, WINDOW_MOST = 32 };

bool cw_pace_allows(const pace_t *p, int64_t now, int64_t *wait) {
  int64_t left = p->since + WINDOW_US - now;
  if (p->n < WINDOW_MOST || left <= 0) return true;
  *wait = *wait < 0 ? left : CW_MIN(*wait, left);
  return false;
}

void cw_pace_note(pace_t *p, int64_t now) {
  if (now - p->since >= WINDOW_US) *p = (pace_t){.since = now};
  p->n++;
}
