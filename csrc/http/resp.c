/* SPDX-License-Identifier: MIT */
/* The response as the app gives it; its protocol frames and sends it. All in the thread
 * that runs the request. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/checks.h"
#include "http/reason.h"
#include "http/request.h"

static int put(cw_req_t *req, const char *p, size_t n) {
  return cw_buf_append(&req->resp.head, p, n) == 0 ? CW_OK : CW_NOMEM;
}

int cw_resp_start(cw_req_t *req, const char *status, size_t len) {
  cw_resp_t *r = &req->resp;
  if (CW_UNLIKELY(req->taken_over)) return CW_OK;
  if (len < 3 || !cw_is_value((cw_span_t){status, len})) return CW_BAD;
  int code = 0;
  for (int i = 0; i < 3; i++) {
    if (status[i] < '0' || status[i] > '9') return CW_BAD;
    code = code * 10 + (status[i] - '0');
  }
  /* 1xx is never a final response. */
  if (code < 200 || (len > 3 && status[3] != ' ')) return CW_BAD;
  cw_buf_t head = r->head;
  head.off = head.len = 0;
  *r = (cw_resp_t){.head = head, .length = -1, .status = code};
  r->no_body = cw_is_head(req->head.method) || code == 204 || code == 304;
  if (put(req, "HTTP/1.1 ", 9) != 0 || put(req, status, len) != 0) return CW_NOMEM;
  if (len == 3 && put(req, " ", 1) != 0) return CW_NOMEM;
  if (put(req, "\r\n", 2) != 0) return CW_NOMEM;
  r->started = true;
  return CW_OK;
}

int cw_resp_start_code(cw_req_t *req, int status) {
  char line[64];
  if (status < 100 || status > 999) return CW_BAD;
  line[0] = (char)('0' + status / 100);
  line[1] = (char)('0' + status / 10 % 10);
  line[2] = (char)('0' + status % 10);
  line[3] = ' ';
  const char *end = stpcpy(line + 4, cw_reason(status));
  return cw_resp_start(req, line, (size_t)(end - line));
}

/* Fields of the connection, not of the response: RFC 9110 section 7.6.1 and PEP 3333
 * ("Other HTTP Features"). */
static bool is_hop_by_hop(cw_span_t name) {
  static const char *const names[] = {
      "keep-alive", "proxy-authenticate", "proxy-authorization",
      "te",         "trailers",           "transfer-encoding",
      "upgrade"};
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++)
    if (cw_span_is(name, names[i])) return true;
  return false;
}

int cw_resp_field(cw_req_t *req, const char *name, size_t name_len, const char *value,
                  size_t value_len) {
  cw_resp_t *r = &req->resp;
  cw_span_t n = {name, name_len}, v = {value, value_len};
  if (!cw_is_token(n) || !cw_is_value(v)) return CW_BAD;
  switch (name[0] | 0x20) {
    case 'c':
      if (cw_span_is(n, "content-length")) {
        int64_t len;
        if (!cw_parse_length(cw_trim(v), &len) || (r->length >= 0 && r->length != len))
          return CW_BAD;
        r->length = len;
        return CW_OK;
      }
      if (cw_span_is(n, "connection")) {
        if (!cw_list_has(v, "close")) return 1;
        r->close = true;
        return CW_OK;
      }
      break;
    case 'd':
      if (cw_span_is(n, "date")) {
        if (r->has_date) return CW_OK;
        r->has_date = true;
      }
      break;
    case 'k':
    case 'p':
    case 't':
    case 'u':
      /* RFC 9110 section 15.5.22: 426 has to say what to upgrade to. */
      if (r->status == 426 && cw_span_is(n, "upgrade")) {
        r->upgrade = true;
        break;
      }
      if (is_hop_by_hop(n)) return 1;
      break;
    default: break;
  }
  cw_buf_t *h = &r->head;
  if (h->cap - h->len >= name_len + value_len + 4) {
    char *o = h->p + h->len;
    memcpy(o, name, name_len);
    o += name_len;
    *o++ = ':';
    *o++ = ' ';
    memcpy(o, value, value_len);
    o += value_len;
    *o++ = '\r';
    *o++ = '\n';
    h->len = (size_t)(o - h->p);
    return CW_OK;
  }
  if (put(req, name, name_len) != 0 || put(req, ": ", 2) != 0 ||
      put(req, value, value_len) != 0 || put(req, "\r\n", 2) != 0)
    return CW_NOMEM;
  return CW_OK;
}

void cw_resp_cancel(cw_req_t *req) {
  if (!req->resp.sent) req->resp.started = false;
}

bool cw_resp_sent(const cw_req_t *req) {
  return req->resp.sent;
}

int64_t cw_resp_length(const cw_req_t *req) {
  return req->resp.length;
}

bool cw_resp_is_whole(const cw_req_t *req) {
  return req->resp.length >= 0 && req->resp.body_sent >= req->resp.length;
}

bool cw_resp_is_in_chunk(const cw_req_t *req) {
  return req->resp.chunk_left > 0;
}

bool cw_resp_has_body(const cw_req_t *req) {
  return !req->resp.no_body;
}

bool cw_req_claim(cw_req_t *req) {
  int none = CW_CLAIM_NONE;
  if (CW_LIKELY(req->service->limits.request_timeout == 0) || req->claimed) return true;
  req->claimed =
      atomic_compare_exchange_strong(&req->claim, &none, (int)CW_CLAIM_THREAD);
  return req->claimed;
}

int cw_resp_write(cw_req_t *req, const char *data, size_t n, bool last, size_t *taken) {
  *taken = 0;
  if (!req->resp.started) {
    *taken = n;
    return req->taken_over ? CW_OK : CW_BAD;
  }
  if (!req->resp.sent && !cw_req_claim(req)) return CW_LOST;
  return req->stream->send(req, data, n, last, taken);
}

int cw_resp_write_file(cw_req_t *req, int fd, int64_t offset, int64_t len,
                       int64_t *taken) {
  *taken = 0;
  if (!req->resp.started) return CW_BAD;
  if (!req->resp.sent && !cw_req_claim(req)) return CW_LOST;
  return req->stream->send_file(req, fd, offset, len, taken);
}

int cw_resp_early_hints(cw_req_t *req, const cw_field_t *fields, unsigned n) {
  for (unsigned i = 0; i < n; i++)
    if (!cw_is_token(fields[i].name) || !cw_is_value(fields[i].value)) return CW_BAD;
  return req->resp.sent ? CW_OK : req->stream->send_hints(req, fields, n);
}

bool cw_head_takes_trailers(const cw_head_t *h) {
  for (unsigned i = 0; h->minor && i < h->n_fields; i++) {
    const cw_field_t *f = &h->fields[i];
    if (f->name.len == 2 && cw_span_is(f->name, "te") &&
        cw_list_has(f->value, "trailers"))
      return true;
  }
  return false;
}

/* RFC 9110 section 6.5.1: fields that say how the message is framed, routed or read
 * have to come before it. */
static bool may_trail(cw_span_t name) {
  static const char *const names[] = {
      "content-length", "content-encoding", "content-type",
      "content-range",  "trailer",          "connection",
      "host",           "set-cookie",       "cache-control",
      "date",           "location",         "authorization"};
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++)
    if (cw_span_is(name, names[i])) return false;
  return !is_hop_by_hop(name);
}

int cw_resp_trailer(cw_req_t *req, const cw_field_t *f) {
  cw_resp_t *r = &req->resp;
  if (!cw_is_token(f->name) || !cw_is_value(f->value)) return CW_BAD;
  if (!r->sent || !r->chunked || r->no_body || !may_trail(f->name)) return 1;
  size_t before = r->head.len;
  if ((!r->trailing && put(req, "0\r\n", 3) != 0) ||
      put(req, f->name.p, f->name.len) != 0 || put(req, ": ", 2) != 0 ||
      put(req, f->value.p, f->value.len) != 0 || put(req, "\r\n", 2) != 0) {
    r->head.len = before;
    return CW_NOMEM;
  }
  r->trailing = true;
  return CW_OK;
}

bool cw_resp_overrun(const cw_req_t *req) {
  return req->resp.overrun;
}

void cw_resp_error(cw_req_t *req, int status) {
  cw_resp_t *r = &req->resp;
  if (r->sent) return;
  char line[64];
  size_t taken;
  /* A body that we could not read is the client's fault, not the app's. */
  pthread_mutex_lock(&req->lock);
  if (req->body.status) status = req->body.status;
  pthread_mutex_unlock(&req->lock);
  const char *reason = cw_reason(status);
  int n = snprintf(line, sizeof(line), "%d %s", status, reason);
  if (cw_resp_start(req, line, (size_t)n) != 0 ||
      cw_resp_field(req, "Content-Type", 12, "text/plain", 10) != 0)
    return;
  n = snprintf(line, sizeof(line), "%s\n", reason);
  /* It fits: WAIT would need 256 KiB. What fails leaves the request unended, and the
   * connection is closed for it. */
  if (cw_resp_write(req, line, (size_t)n, true, &taken) != CW_OK) r->ended = false;
}
