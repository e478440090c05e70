/* SPDX-License-Identifier: MIT */
/* The response head and the framing of the body (RFC 9112 section 6). All in the
 * thread that runs the request. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "http/account.h"
#include "http/checks.h"
#include "http/out.h"
#include "http/reason.h"

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

void cw_resp_set_length(cw_req_t *req, int64_t len) {
  if (req->resp.length < 0) req->resp.length = len;
}

bool cw_resp_is_whole(const cw_req_t *req) {
  return req->resp.length >= 0 && req->resp.body_sent >= req->resp.length;
}

bool cw_resp_has_body(const cw_req_t *req) {
  return !req->resp.no_body;
}

/* Whether the unread rest of the request's body is small enough to be skipped; if not,
 * the connection has to end with this response. */
static bool body_can_be_skipped(cw_req_t *req) {
  cw_body_t *b = &req->body;
  pthread_mutex_lock(&req->lock);
  bool complete = b->complete, broken = b->broken;
  int64_t buffered = (int64_t)cw_buf_pending(&b->buf);
  pthread_mutex_unlock(&req->lock);
  if (complete) return true;
  if (broken) return false;
  /* Who waits for 100 Continue may or may not send the body now: no telling. */
  if (req->expect_continue && !req->continue_sent) return false;
  /* Of a chunked body nobody knows the end: what is there so far has to tell. */
  return (req->head.chunked ? buffered : req->head.content_length - b->taken) <=
         CW_DISCARD_MAX;
}

/* Ends the head: framing, connection, date. `body_len` is the whole body's length where
 * it is known, else -1. */
static int end_head(cw_req_t *req, int64_t body_len) {
  cw_resp_t *r = &req->resp;
  cw_service_t *service = req->service;
  char text[160];
  size_t n = 0;
  bool is_head = r->no_body && cw_is_head(req->head.method) && r->status != 204;
  if (r->length < 0 && body_len >= 0 && !(is_head && body_len == 0))
    r->length = body_len;
  if (r->no_body && r->length < 0) {
    /* Nothing to frame. */
  } else if (r->length >= 0) {
    /* RFC 9110 section 8.6: never with 204; with 304 only what the app says. */
    if (r->status != 204 && !(r->status == 304 && r->length == 0))
      n += (size_t)snprintf(text, sizeof(text), "Content-Length: %lld\r\n",
                            (long long)r->length);
  } else if (req->head.minor == 1) {
    r->chunked = true;
    n += (size_t)snprintf(text, sizeof(text), "Transfer-Encoding: chunked\r\n");
  } else {
    r->close = true; /* HTTP/1.0: the body ends with the connection */
  }
  r->close |= !req->keep_alive ||
              atomic_load_explicit(&service->draining, memory_order_relaxed) ||
              service->limits.keepalive == 0 || !body_can_be_skipped(req);
  if (CW_UNLIKELY(r->upgrade)) {
    /* RFC 9110 section 7.8: it is a field of this connection. */
    memcpy(text + n, "Connection: upgrade\r\n", 21);
    n += 21;
  }
  if (r->close) {
    memcpy(text + n, "Connection: close\r\n", 19);
    n += 19;
  } else if (req->head.minor == 0) {
    memcpy(text + n, "Connection: keep-alive\r\n", 24);
    n += 24;
  }
  if (!r->has_date) {
    memcpy(text + n, "Date: ", 6);
    memcpy(text + n + 6, cw_http_date(), CW_DATE_LEN);
    memcpy(text + n + 6 + CW_DATE_LEN, "\r\n", 2);
    n += 8 + CW_DATE_LEN;
  }
  memcpy(text + n, "\r\n", 2);
  if (put(req, text, n + 2) != 0) return CW_NOMEM;
  if (CW_UNLIKELY(service->account.access != NULL))
    cw_account_note_fields(&service->account, req);
  return CW_OK;
}

/* Notes that `n` body bytes were accepted and the head with them. Also where memory ran
 * out half-way: then no error page can follow any more. */
static void accepted(cw_resp_t *r, int64_t n) {
  r->sent = true;
  r->head.off = r->head.len = 0;
  r->body_sent += n;
}

int cw_resp_write(cw_req_t *req, const char *data, size_t n, bool last, size_t *taken) {
  static const char end[] = "\r\n0\r\n\r\n";
  cw_resp_t *r = &req->resp;
  size_t offered = n, head_len = r->head.len;
  *taken = 0;
  if (!r->started) return *taken = n, req->taken_over ? CW_OK : CW_BAD;
  if (!r->sent && !cw_req_claim(req)) return CW_LOST;
  if (!r->sent && end_head(req, last ? (int64_t)n : -1) != 0) return CW_NOMEM;
  if (r->no_body) {
    n = 0;
  } else if (r->length >= 0 && (int64_t)n > r->length - r->body_sent) {
    n = (size_t)(r->length - r->body_sent);
    r->overrun = true;
  }
  cw_parts_t parts = {.body = {data, n}};
  if (r->chunked) {
    if (n && !r->chunk_left) {
      char size[20];
      int len = snprintf(size, sizeof(size), "%zx\r\n", n);
      if (put(req, size, (size_t)len) != 0) {
        /* The app may try again: the head must not end twice. */
        if (!r->sent) r->head.len = head_len;
        return CW_NOMEM;
      }
      r->chunk_left = n;
    }
    if (n)
      parts.after = (cw_span_t){end, last ? 7 : 2};
    else if (last)
      parts.after = (cw_span_t){end + 2, 5};
  }
  parts.before = (cw_span_t){r->head.p + r->head.off, cw_buf_pending(&r->head)};
  size_t went = 0;
  int rc = cw_out_write(req, &parts, &went);
  if (rc == CW_OK || rc == CW_WAIT) {
    accepted(r, (int64_t)went);
    if (r->chunked) r->chunk_left -= went;
    *taken = rc == CW_OK ? offered : went;
  }
  if (rc == CW_NOMEM) accepted(r, 0);
  if (rc == CW_OK && last)
    r->ended = r->no_body || r->length < 0 || r->body_sent == r->length;
  return rc;
}

int cw_resp_write_file(cw_req_t *req, int fd, int64_t offset, int64_t len,
                       int64_t *taken) {
  cw_resp_t *r = &req->resp;
  *taken = 0;
  if (!r->started) return CW_BAD;
  if (!r->sent && !cw_req_claim(req)) return CW_LOST;
  if (!r->sent && end_head(req, len) != 0) return CW_NOMEM;
  int64_t n = len;
  if (r->no_body)
    n = 0;
  else if (r->length >= 0)
    n = CW_MIN(n, r->length - r->body_sent);
  cw_span_t before = {r->head.p + r->head.off, cw_buf_pending(&r->head)};
  int64_t went = 0;
  int rc = cw_out_write_file(req, before, fd, offset, n, &went);
  if (rc == CW_NOMEM) accepted(r, 0);
  if (rc != CW_OK) return rc;
  accepted(r, went);
  *taken = len;
  r->ended = r->no_body || r->length < 0 || r->body_sent == r->length;
  return rc;
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
