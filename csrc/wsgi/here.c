/* SPDX-License-Identifier: MIT */
/* What each thread that runs requests is doing, for itself and for others to look at.
 * Only such threads are linked in, from their first request until they end. */
#include "base/fault.h"
#include "wsgi/wsgi.h"
#include "wsgi/wsgi_internal.h"

/* Freed by cw_wsgi_thread_end(); the main thread's with the process. */
static _Thread_local cw_here_t *mine;
/* Guarded by the GIL. */
static cw_here_t *all;

cw_here_t *cw_here(void) {
  return mine;
}

cw_here_t *cw_here_make(void) {
  if (CW_LIKELY(mine != NULL)) return mine;
  cw_here_t *here = cw_calloc(1, sizeof(*here));
  if (!here) return NULL;
  here->id = pthread_self();
  here->next = all;
  all = here;
  return mine = here;
}

void cw_wsgi_thread_end(void) {
  CW_ASSERT_GIL();
  cw_here_t **p = &all;
  if (!mine) return;
  while (*p != mine) p = &(*p)->next;
  *p = mine->next;
  free(mine);
  mine = NULL;
}

cw_here_t *cw_here_of(pthread_t id) {
  cw_here_t *here = all;
  while (here && !pthread_equal(here->id, id)) here = here->next;
  return here;
}
