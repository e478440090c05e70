/* SPDX-License-Identifier: MIT */
/* Health and metrics. */
#include "http/probe.h"
#include "http/server_internal.h"

#include <string.h>

#include "base/metrics_text.h"

static void say(cw_probe_t *out, int status, const char *text) {
  out->status = status;
  out->type = "text/plain";
  if (cw_buf_append(&out->body, text, strlen(text)) != 0) out->status = 0;
}

/* Whether the request reads this path. */
static bool reads(const cw_req_t *req, const char *path) {
  const cw_span_t p = req->head.path, m = req->head.method;
  return path && p.len == strlen(path) && memcmp(p.p, path, p.len) == 0 &&
         ((m.len == 3 && memcmp(m.p, "GET", 3) == 0) ||
          (m.len == 4 && memcmp(m.p, "HEAD", 4) == 0));
}

static void tell_metrics(cw_server_t *srv, cw_probe_t *out) {
  if (!srv->service.account.board) {
    say(out, 503, "no metrics yet\n");
    return;
  }
  /* What other threads have ended by now counts. That may bring up the next request of
   * another connection, which may ask for the metrics as well: once is enough. */
  if (!srv->scraping) {
    srv->scraping = true;
    cw_conn_take_posts(srv);
    srv->scraping = false;
  }
  out->status = cw_metrics_text(srv->service.account.board, &out->body) == 0 ? 200 : 0;
  out->type = CW_METRICS_TYPE;
}

bool cw_probe_answer(const cw_conn_t *c, const cw_req_t *req, cw_probe_t *out) {
  cw_server_t *srv = c->srv;
  *out = (cw_probe_t){0};
  if (reads(req, c->listener->metrics ? "/metrics" : srv->service.limits.metrics)) {
    tell_metrics(srv, out);
  } else if (c->listener->metrics) {
    say(out, 404, "Not Found\n");
  } else if (reads(req, srv->service.limits.health)) {
    bool leaving =
        srv->service.draining || (srv->service.account.board &&
                                  atomic_load(&srv->service.account.board->draining));
    say(out, leaving ? 503 : 200, leaving ? "draining\n" : "ok\n");
  } else {
    return false;
  }
  return true;
}
