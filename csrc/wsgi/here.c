/* SPDX-License-Identifier: MIT */
/* What each thread is doing, for itself and for others to look at. */
#include "wsgi/wsgi_internal.h"

/* Linked in at a thread's first request and never freed: app threads are few, and live
 * as long as the worker. */
static _Thread_local cw_here_t own;
static cw_here_t *all;

cw_here_t *cw_here(void) {
  cw_here_t *here = &own;
  if (CW_UNLIKELY(!here->known)) {
    here->known = true;
    here->id = pthread_self();
    here->next = all;
    all = here;
  }
  return here;
}

cw_here_t *cw_here_of(pthread_t id) {
  cw_here_t *here = all;
  while (here && !pthread_equal(here->id, id)) here = here->next;
  return here;
}
