/* SPDX-License-Identifier: MIT */
/* What the server answers itself, without a thread, the GIL or the app: health and
 * metrics. Baton holder only. */
#ifndef CW_HTTP_PROBE_H
#define CW_HTTP_PROBE_H

#include "http/conn.h"

typedef struct cw_probe {
  int status; /* 0: out of memory */
  const char *type;
  cw_buf_t body; /* the caller frees it */
} cw_probe_t;

/* Fills in the answer to a request whose head is complete. Returns false where it is
 * for the app. */
bool cw_probe_answer(const cw_conn_t *c, const cw_req_t *req, cw_probe_t *out);

#endif
