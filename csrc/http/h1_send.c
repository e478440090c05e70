/* SPDX-License-Identifier: MIT */
/* Responses in HTTP/1.1: framing (RFC 9112 section 6) and interim responses. All in the
 * thread that runs the request. */
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/hex.h"
#include "http/checks.h"
#include "http/h1.h"
#include "http/out.h"

static int put(cw_req_t *req, const char *p, size_t n) {
  return cw_buf_append(&req->resp.head, p, n) == 0 ? CW_OK : CW_NOMEM;
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
    if (r->status != 204 && !(r->status == 304 && r->length == 0)) {
      memcpy(text, "Content-Length: ", 16);
      n = 16 + cw_decimal(text + 16, (uint64_t)r->length);
      memcpy(text + n, "\r\n", 2);
      n += 2;
    }
  } else if (req->head.minor == 1) {
    r->chunked = true;
    memcpy(text, "Transfer-Encoding: chunked\r\n", 28);
    n = 28;
  } else {
    r->close = true; /* HTTP/1.0: the body ends with the connection */
  }
  r->close |= !req->persistent ||
              atomic_load_explicit(&service->draining, memory_order_relaxed) ||
              service->limits.idle == 0 || !body_can_be_skipped(req);
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

static int send_response(cw_req_t *req, const char *data, size_t n, bool last,
                         size_t *taken) {
  static const char end[] = "\r\n0\r\n\r\n";
  cw_resp_t *r = &req->resp;
  size_t offered = n, head_len = r->head.len;
  if (!r->sent && end_head(req, last ? (int64_t)n : -1) != 0) return CW_NOMEM;
  if (r->no_body) {
    n = 0;
  } else if (r->length >= 0 && (int64_t)n > r->length - r->body_sent) {
    n = (size_t)(r->length - r->body_sent);
    r->overrun = true;
  }
  cw_parts_t parts = {.body = {data, n}, .last = last};
  if (r->chunked) {
    if (n && !r->chunk_left) {
      char size[CW_HEX_MAX + 2];
      size_t len = cw_hex(size, n);
      memcpy(size + len, "\r\n", 2);
      if (put(req, size, len + 2) != 0) {
        /* The app may try again: the head must not end twice. */
        if (!r->sent) r->head.len = head_len;
        return CW_NOMEM;
      }
      r->chunk_left = n;
    }
    if (n)
      parts.after = (cw_span_t){end, last ? 7 : 2};
    else if (last)
      parts.after = r->trailing ? (cw_span_t){end, 2} : (cw_span_t){end + 2, 5};
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

static int send_file(cw_req_t *req, int fd, int64_t offset, int64_t len,
                     int64_t *taken) {
  cw_resp_t *r = &req->resp;
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

/* ---- interim responses ------------------------------------------------------ */

/* RFC 8297; RFC 9110 section 15.2: a 1.0 client does not know interim responses. */
static int send_hints(cw_req_t *req, const cw_field_t *fields, unsigned n) {
  static const char line[] = "HTTP/1.1 103 Early Hints\r\n";
  cw_buf_t text = {0};
  if (req->head.minor == 0) return CW_OK;
  int bad = cw_buf_append(&text, line, sizeof(line) - 1);
  for (unsigned i = 0; i < n && bad == 0; i++)
    bad = cw_buf_append(&text, fields[i].name.p, fields[i].name.len) ||
          cw_buf_append(&text, ": ", 2) ||
          cw_buf_append(&text, fields[i].value.p, fields[i].value.len) ||
          cw_buf_append(&text, "\r\n", 2);
  int rc = bad || cw_buf_append(&text, "\r\n", 2)
               ? CW_NOMEM
               : cw_out_send_interim(req, (cw_span_t){text.p, text.len});
  cw_buf_free(&text);
  return rc;
}

/* The client waits for this before it sends its body. Behind hints that it has not
 * read yet it waits as they do. */
static void send_continue(cw_req_t *req) {
  static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
  if (req->resp.sent) return;
  if (cw_out_send_interim(req, (cw_span_t){text, sizeof(text) - 1}) != CW_OK)
    atomic_store(&req->lost, true);
}

static int take_over(cw_req_t *req) {
  return fcntl(req->fd, F_DUPFD_CLOEXEC, 3);
}

const cw_stream_t cw_h1_stream = {.send = send_response,
                                  .send_file = send_file,
                                  .send_hints = send_hints,
                                  .want_body = send_continue,
                                  .take_over = take_over};
