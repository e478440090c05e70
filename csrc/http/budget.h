/* SPDX-License-Identifier: MIT */
/* --buffer-memory: what a worker holds of requests that are still coming in, heads and
 * small bodies, all connections together. Requests that run are not part of it: their
 * number is bounded by the connections, what each holds by the marks of
 * request.h. Baton holder only. */
#ifndef CW_HTTP_BUDGET_H
#define CW_HTTP_BUDGET_H

#include "http/conn.h"

/* Counts anew what `c` holds. */
void cw_budget_count(cw_conn_t *c);

/* The same, after anything that may have changed it; costs next to nothing where no
 * byte of a request is kept. */
static inline void cw_budget_note(cw_conn_t *c) {
  if (CW_UNLIKELY(c->in.cap || c->held || c->collecting)) cw_budget_count(c);
}

/* Whether what was counted is what it holds, as it must be at the end of every event:
 * otherwise one that runs could be refused. */
bool cw_budget_is_exact(cw_conn_t *c);

/* Who is to be refused with *status for the budget to be kept: who takes longest. NULL
 * where it is kept, or nobody holds anything. Not while one of them is being fed. */
cw_conn_t *cw_budget_victim(cw_server_t *srv, int *status);

#endif
