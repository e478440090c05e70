/* SPDX-License-Identifier: MIT */
/* A refusal is the client's fault as a rule, but whoever runs the service looks for its
 * cause here: a limit, a proxy's setting, the wrong protocol. */
#include "http/refusals.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "http/reason.h"
#include "http/server_internal.h"

enum { PAUSE = 1000 }; /* ms between two lines */

static bool begins(cw_span_t s, const char *with, size_t n) {
  return s.len >= n && memcmp(s.p, with, n) == 0;
}

/* What came, where it is no HTTP/1 at all. */
static const char *other_protocol(cw_span_t head) {
  /* A TLS record: handshake, version 3.x (RFC 8446 section 5.1). */
  if (begins(head, "\x16\x03", 2))
    return "this looks like TLS, and the port speaks plain HTTP";
  if (begins(head, "PRI * HTTP/2.0", 14))
    return "this is HTTP/2, which is not spoken here";
  if (begins(head, "PROXY ", 6) || begins(head, "\r\n\r\n\0\r\nQUIT\n", 12))
    return "this is a PROXY header; see --proxy-protocol";
  return NULL;
}

/* What the status means here. */
static const char *usual_reason(int status) {
  return status == 413   ? "the request's body is longer than --limit-request-body"
         : status == 414 ? "the request line is longer than --limit-request-line"
         : status == 431 ? "the head is over one of the --limit-request-* options"
                         : NULL;
}

/* ": GET /path" of the request, or of the start of a head. Never the query, which may
 * hold secrets. */
static void describe(const cw_req_t *req, cw_span_t head, char *out, size_t size) {
  cw_span_t method = {NULL, 0}, path = {NULL, 0};
  const char *end = head.p ? memchr(head.p, ' ', head.len) : NULL;
  out[0] = '\0';
  if (req) {
    method = req->head.method;
    path = req->head.path;
  } else if (end) {
    method = (cw_span_t){head.p, (size_t)(end - head.p)};
    path = (cw_span_t){end + 1, 0};
    while (path.p + path.len < head.p + head.len && !strchr(" ?\r\n", path.p[path.len]))
      path.len++;
  }
  if (!method.len || method.len > 64) return;
  snprintf(out, size, ": %.*s %.*s", (int)method.len, method.p,
           (int)CW_MIN(path.len, (size_t)150), path.len ? path.p : "");
}

void cw_refusal_log(const cw_conn_t *c, const cw_req_t *req, int status,
                    const char *why, cw_span_t head) {
  cw_server_t *srv = c->srv;
  char request[256], others[64] = "";
  uint64_t now = uv_now(&srv->loop);
  if (srv->refused_at && now - srv->refused_at < PAUSE) {
    srv->refused++;
    return;
  }
  const char *other = req || !head.p ? NULL : other_protocol(head);
  if (other) why = other;
  if (!why) why = usual_reason(status);
  describe(req, other ? (cw_span_t){NULL, 0} : head, request, sizeof(request));
  if (srv->refused)
    snprintf(others, sizeof(others), " (and %u others before)", srv->refused);
  srv->refused = 0;
  srv->refused_at = now;
  cw_log(status == 408 ? CW_LOG_INFO : CW_LOG_WARNING,
         "%s:%s: refused with %d %s%s%s%s%s", c->peer_addr[0] ? c->peer_addr : "unix",
         c->peer_port, status, cw_reason(status), request, why ? ": " : "",
         why ? why : "", others);
}

void cw_refusals_end(cw_server_t *srv) {
  if (srv->refused)
    cw_log(CW_LOG_WARNING, "%u other requests were refused", srv->refused);
  srv->refused = 0;
}
