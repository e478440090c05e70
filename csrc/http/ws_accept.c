/* SPDX-License-Identifier: MIT */
/* How a request becomes a WebSocket: its answer, and what is left of it then. All in
 * the thread that runs it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "http/checks.h"
#include "http/out.h"
#include "http/ws_socket.h"

bool cw_req_is_websocket(const cw_req_t *req) {
  return cw_ws_check_handshake(&req->head) == 101;
}

bool cw_ws_refuse(cw_req_t *req) {
  static const char body[] = "The WebSocket handshake is not valid\n";
  size_t taken;
  int status = cw_ws_check_handshake(&req->head);
  if (status == 0 || status == 101) return false;
  /* RFC 9110 section 15.5.22 and RFC 6455 section 4.4: what would be understood. */
  int rc = status == 426 ? cw_resp_start(req, "426 Upgrade Required", 20)
                         : cw_resp_start(req, "400 Bad Request", 15);
  if (rc == CW_OK) rc = cw_resp_field(req, "Content-Type", 12, "text/plain", 10);
  if (rc == CW_OK && status == 426) {
    rc = cw_resp_field(req, "Upgrade", 7, "websocket", 9);
    if (rc == CW_OK) rc = cw_resp_field(req, "Sec-WebSocket-Version", 21, "13", 2);
  }
  if (rc == CW_OK) rc = cw_resp_write(req, body, sizeof(body) - 1, true, &taken);
  /* What fails leaves the response unended: the connection ends with the request. */
  if (rc != CW_OK) cw_resp_cancel(req);
  return true;
}

unsigned cw_ws_subprotocols(const cw_req_t *req, cw_span_t *out, unsigned room) {
  unsigned field = 0, n = 0;
  size_t at = 0;
  cw_span_t one;
  while (cw_ws_next_subprotocol(&req->head, &field, &at, &one))
    if (n++ < room) out[n - 1] = one;
  return n;
}

static bool is_offered(const cw_head_t *h, cw_span_t subprotocol) {
  unsigned field = 0;
  size_t at = 0;
  cw_span_t one;
  while (cw_ws_next_subprotocol(h, &field, &at, &one))
    if (one.len == subprotocol.len && memcmp(one.p, subprotocol.p, one.len) == 0)
      return true;
  return false;
}

/* ---- the answer ---------------------------------------------------------------- */

static int put(cw_req_t *req, const char *p, size_t n) {
  return cw_buf_append(&req->resp.head, p, n) == 0 ? CW_OK : CW_NOMEM;
}

static int put_field(cw_req_t *req, const char *name, cw_span_t value) {
  if (put(req, name, strlen(name)) != 0 || put(req, ": ", 2) != 0 ||
      put(req, value.p, value.len) != 0 || put(req, "\r\n", 2) != 0)
    return CW_NOMEM;
  return CW_OK;
}

/* Whether only the server may send it. */
static bool is_ours(cw_span_t name) {
  static const char prefix[] = "sec-websocket-";
  size_t n = sizeof(prefix) - 1;
  return name.len >= n && cw_span_is((cw_span_t){name.p, n}, prefix);
}

/* The app's fields. Those that frame a body or are of the connection are left out. */
static int put_fields(cw_req_t *req, const cw_field_t *fields, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    cw_span_t name = fields[i].name, value = fields[i].value;
    if (is_ours(name)) return CW_BAD;
    int rc = cw_resp_field(req, name.p, name.len, value.p, value.len);
    if (rc < 0) return rc;
  }
  return CW_OK;
}

/* The head of the 101 (RFC 6455 section 4.2.2). */
static int make_head(cw_req_t *req, cw_span_t subprotocol, const cw_ws_terms_t *terms,
                     const cw_field_t *fields, unsigned n) {
  static const char start[] =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\n";
  char accept[CW_WS_ACCEPT_LEN], answer[CW_WS_ANSWER_MAX];
  cw_ws_accept_value(&req->head, accept);
  cw_ws_answer(terms, answer);
  int rc = put(req, start, sizeof(start) - 1);
  if (rc == CW_OK)
    rc = put_field(req, "Sec-WebSocket-Accept", (cw_span_t){accept, sizeof(accept)});
  if (rc == CW_OK && subprotocol.len)
    rc = put_field(req, "Sec-WebSocket-Protocol", subprotocol);
  if (rc == CW_OK && answer[0])
    rc =
        put_field(req, "Sec-WebSocket-Extensions", (cw_span_t){answer, strlen(answer)});
  if (rc == CW_OK) rc = put_fields(req, fields, n);
  return rc == CW_OK ? put(req, "\r\n", 2) : rc;
}

/* ---- what is left of the request --------------------------------------- */

/* Copies into a block of memory, or only counts. */
typedef struct block {
  char *p; /* NULL: count */
  size_t len;
} block_t;

static void *keep(block_t *b, const void *p, size_t n, size_t align) {
  b->len = (b->len + align - 1) & ~(align - 1);
  char *at = b->p ? b->p + b->len : NULL;
  if (at && n) memcpy(at, p, n);
  b->len += n;
  return at;
}

static void keep_span(block_t *b, cw_span_t *s) {
  if (!s->p) return;
  char *at = keep(b, s->p, s->len, 1);
  if (at) s->p = at;
}

static void keep_text(block_t *b, const char **text) {
  if (!*text) return;
  char *at = keep(b, *text, strlen(*text) + 1, 1);
  if (at) *text = at;
}

static void keep_values(block_t *b, cw_span_t **values, unsigned n) {
  if (!*values || !n) return;
  cw_span_t *at = keep(b, *values, n * sizeof(*at), _Alignof(cw_span_t));
  for (unsigned i = 0; i < n; i++) keep_span(b, at ? &at[i] : &(*values)[i]);
  if (at) *values = at;
}

/* What the request needs of its arena as long as the socket is open. The fields are for
 * the access log, where there is one. */
static void keep_all(block_t *b, cw_req_t *req) {
  cw_head_t *h = &req->head;
  const cw_access_log_t *log = req->service->account.access;
  const cw_access_format_t *f = log ? cw_access_log_format(log) : NULL;
  cw_span_t *spans[] = {&h->method, &h->target, &h->path, &h->query, &h->script_name};
  const char **texts[] = {&h->scheme, &h->peer_addr, &h->peer_port, &h->server_name,
                          &h->server_port};
  if (f) {
    cw_field_t *fields =
        keep(b, h->fields, h->n_fields * sizeof(*fields), _Alignof(cw_field_t));
    for (unsigned i = 0; i < h->n_fields; i++) {
      keep_span(b, fields ? &fields[i].name : &h->fields[i].name);
      keep_span(b, fields ? &fields[i].value : &h->fields[i].value);
    }
    if (fields) h->fields = fields;
    keep_values(b, &req->log_fields, f->n_fields);
    keep_values(b, &req->log_environ, f->n_environ);
  } else if (b->p) {
    h->fields = NULL;
    h->n_fields = 0;
  }
  for (size_t i = 0; i < CW_ARRAY_LEN(spans); i++) keep_span(b, spans[i]);
  for (size_t i = 0; i < CW_ARRAY_LEN(texts); i++) keep_text(b, texts[i]);
}

void cw_ws_shrink(cw_req_t *req) {
  block_t b = {NULL, 0};
  req->ws->shrunk = true;
  keep_all(&b, req);
  size_t len = b.len;
  b = (block_t){cw_malloc(len), 0};
  if (!b.p) return;
  keep_all(&b, req);
  assert(b.len == len);
  cw_req_replace_arena(req, b.p);
}

int cw_ws_accept(cw_req_t *req, cw_span_t subprotocol, const cw_field_t *fields,
                 unsigned n) {
  cw_resp_t *r = &req->resp;
  cw_service_t *service = req->service;
  cw_ws_terms_t terms;
  size_t taken;
  if (r->sent || !cw_req_is_websocket(req)) return CW_BAD;
  if (subprotocol.len && !is_offered(&req->head, subprotocol)) return CW_BAD;
  (void)cw_ws_negotiate(&req->head, service->limits.ws_compression, &terms);
  cw_buf_t head = r->head;
  head.off = head.len = 0;
  *r = (cw_resp_t){.head = head, .length = -1, .status = 101};
  int rc = make_head(req, subprotocol, &terms, fields, n);
  cw_ws_t *ws = rc == CW_OK ? cw_ws_new(service, &terms) : NULL;
  if (rc == CW_OK && !ws) rc = CW_NOMEM;
  if (rc != CW_OK) return rc;
  if (!cw_req_claim(req)) {
    cw_ws_free(ws);
    return CW_LOST;
  }
  if (CW_UNLIKELY(service->account.access != NULL))
    cw_account_note_fields(&service->account, req);
  const cw_parts_t parts = {
      .before = {r->head.p, r->head.len}, .body = {"", 0}, .after = {"", 0}};
  rc = cw_out_write(req, &parts, &taken);
  cw_buf_free(&r->head);
  /* Its end is not that of a response: the socket says how it ended. */
  r->length = -1;
  r->sent = r->ended = r->close = true;
  if (rc != CW_OK) {
    cw_ws_free(ws);
    r->ended = false;
    return rc;
  }
  req->ws = ws;
  /* The loop looks at the head of a request whose time may run out: later then. */
  if (service->limits.request_timeout == 0) cw_ws_shrink(req);
  cw_post(&service->posts, &req->post, CW_POST_SWITCH, true);
  return CW_OK;
}

bool cw_ws_is_accepted(const cw_req_t *req) {
  return req->ws != NULL;
}
