/* SPDX-License-Identifier: MIT */
/* What each thread that runs requests is doing, for itself and for others to look at.
 * Only such threads are linked in, from their first request until they end. */
#include "base/fault.h"
#include "wsgi/wsgi.h"
#include "wsgi/wsgi_internal.h"

/* Freed by cw_wsgi_thread_end(); the main thread's with the process. */
static _Thread_local cw_runner_t *mine;
/* Guarded by the GIL. */
static cw_runner_t *all;

cw_runner_t *cw_runner(void) {
  return mine;
}

cw_runner_t *cw_runner_make(void) {
  if (CW_LIKELY(mine != NULL)) return mine;
  cw_runner_t *runner = cw_calloc(1, sizeof(*runner));
  if (!runner) return NULL;
  runner->id = pthread_self();
  runner->next = all;
  all = runner;
  return mine = runner;
}

void cw_wsgi_thread_end(void) {
  CW_ASSERT_GIL();
  cw_runner_t **p = &all;
  if (!mine) return;
  while (*p != mine) p = &(*p)->next;
  *p = mine->next;
  free(mine);
  mine = NULL;
}

cw_runner_t *cw_runner_of(pthread_t id) {
  cw_runner_t *runner = all;
  while (runner && !pthread_equal(runner->id, id)) runner = runner->next;
  return runner;
}
