/* SPDX-License-Identifier: MIT */
/* Header sections: our checks for the request line, llhttp in strict mode for the
 * fields, and what they mean together. */
#include "http/parse.h"

#include <assert.h>
#include <string.h>

#include "http/checks.h"
#include "http/forwarded.h"

/* What one parse needs beside the request. */
typedef struct parse {
  cw_req_t *req;
  const cw_limits_t *limits;
  int status; /* 0, or what to refuse with */
  unsigned room;
} parse_t;

static int refuse(parse_t *ps, int status) {
  if (!ps->status) ps->status = status;
  return HPE_USER;
}

static int on_field(llhttp_t *llp, const char *at, size_t len) {
  parse_t *ps = llp->data;
  cw_head_t *h = &ps->req->head;
  if (h->n_fields == ps->limits->fields) return refuse(ps, 431);
  if (len > ps->limits->field_size) return refuse(ps, 431);
  if (h->n_fields == ps->room) {
    unsigned room = ps->room ? ps->room * 4 : 24;
    room = CW_MIN(room, ps->limits->fields);
    cw_field_t *fields = cw_arena_alloc(&ps->req->arena, room * sizeof(*fields));
    if (!fields) return refuse(ps, 503);
    if (h->n_fields) memcpy(fields, h->fields, h->n_fields * sizeof(*fields));
    h->fields = fields;
    ps->room = room;
  }
  h->fields[h->n_fields++] = (cw_field_t){.name = {at, len}, .value = {"", 0}};
  return 0;
}

static int on_value(llhttp_t *llp, const char *at, size_t len) {
  parse_t *ps = llp->data;
  cw_field_t *f = &ps->req->head.fields[ps->req->head.n_fields - 1];
  if (f->name.len + len + 2 > ps->limits->field_size) return refuse(ps, 431);
  f->value = cw_trim((cw_span_t){at, len});
  return 0;
}

/* Takes the Host field and an absolute form's authority together: RFC 9112 section
 * 3.2, one valid Host on 1.1, and the target's authority wins over it. */
static int check_host(parse_t *ps, cw_field_t *host, unsigned hosts,
                      const cw_target_t *target) {
  if (hosts > 1) return 400;
  if (!host) return ps->req->head.minor == 1 ? 400 : 0;
  if (!cw_check_host(host->value, true)) return 400;
  if (target->authority.len) host->value = target->authority;
  return 0;
}

/* Whether a Connection field names this one as its own (RFC 9110 section 7.6.1). */
static bool is_connections(const cw_head_t *h, const char *name) {
  for (unsigned i = 0; i < h->n_fields; i++)
    if (cw_span_is(h->fields[i].name, "connection") &&
        cw_list_has(h->fields[i].value, name))
      return true;
  return false;
}

/* Everything that depends on the fields as a whole. Returns 0 or a status. */
static int check_fields(parse_t *ps, const cw_target_t *target) {
  cw_req_t *req = ps->req;
  cw_head_t *h = &req->head;
  cw_field_t *host = NULL;
  unsigned hosts = 0, lengths = 0, codings = 0, kept = 0;
  bool close = false, keep = false;
  int status;
  for (unsigned i = 0; i < h->n_fields; i++) {
    cw_field_t *f = &h->fields[i];
    switch (f->name.len) {
      case 4:
        if (cw_span_is(f->name, "host")) {
          host = f;
          hosts++;
        }
        break;
      case 6:
        if (cw_span_is(f->name, "expect")) {
          /* RFC 9110 section 10.1.1; a 1.0 client cannot expect anything. */
          if (!cw_span_is(f->value, "100-continue")) return 417;
          req->expect_continue = h->minor == 1;
        }
        break;
      case 7:
        if (cw_span_is(f->name, "upgrade")) h->upgrade = h->minor == 1;
        break;
      case 10:
        if (cw_span_is(f->name, "connection")) {
          close |= cw_list_has(f->value, "close");
          keep |= cw_list_has(f->value, "keep-alive");
        }
        break;
      case 14:
        if (cw_span_is(f->name, "content-length")) {
          if (lengths++ || !cw_parse_length(f->value, &h->content_length)) return 400;
        }
        break;
      case 17:
        if (cw_span_is(f->name, "transfer-encoding")) {
          /* RFC 9112 section 6.1: never from a 1.0 client. */
          if (codings++ || h->minor == 0) return 400;
          if ((status = cw_check_transfer_encoding(f->value)) != 0) return status;
        }
        break;
      default: break;
    }
  }
  if (lengths && codings) return 400;
  if ((status = check_host(ps, host, hosts, target)) != 0) return status;
  h->chunked = codings > 0;
  h->has_body = lengths || codings;
  if (!h->has_body) req->expect_continue = false;
  if (CW_UNLIKELY(h->upgrade))
    h->upgrade = !h->has_body && is_connections(h, "upgrade");
  req->persistent = h->minor == 1 ? !close : keep && !close;
  /* HTTP_A_B stands for "A-B" and "A_B" alike: drop the underscore form, so that it
   * cannot pose as the other. */
  for (unsigned i = 0; i < h->n_fields; i++) {
    bool underscore = memchr(h->fields[i].name.p, '_', h->fields[i].name.len);
    if (CW_UNLIKELY(underscore) && req->trusted)
      underscore = !cw_forwarded_allows(ps->limits, h->fields[i].name);
    if (underscore && ps->limits->underscores == CW_UNDERSCORE_REFUSE) return 400;
    if (!underscore || ps->limits->underscores == CW_UNDERSCORE_KEEP)
      h->fields[kept++] = h->fields[i];
  }
  h->n_fields = kept;
  if (ps->limits->body && h->content_length > ps->limits->body) return 413;
  return 0;
}

static int on_headers_complete(llhttp_t *llp) {
  parse_t *ps = llp->data;
  cw_head_t *h = &ps->req->head;
  cw_target_t target;
  int status = cw_check_target(h->method, h->target, &target);
  if (status == 0) status = check_fields(ps, &target);
  if (status) return refuse(ps, status);
  h->query = target.query;
  h->scheme = "http";
  if (CW_UNLIKELY(target.https)) {
    /* RFC 9110 section 7.4: this connection is not secured, as far as we know. */
    if (!ps->req->trusted) return refuse(ps, 421);
    h->scheme = "https";
  }
  char *path = cw_arena_alloc(&ps->req->arena, target.path.len + 1);
  if (!path) return refuse(ps, 503);
  h->path = (cw_span_t){path, cw_percent_decode(target.path, path)};
  status = ps->req->trusted ? cw_forwarded_apply(ps->req) : 0;
  if (CW_UNLIKELY(ps->limits->clear_proxy_headers)) cw_forwarded_clear(ps->req);
  if (status) return refuse(ps, status);
  llp->upgrade = 0; /* Upgrade is not acted upon: RFC 9110 section 7.8 allows that */
  return 0;
}

/* The body is not llhttp's: stop right behind the head. */
static int on_head_end(llhttp_t *llp) {
  int rc = on_headers_complete(llp);
  return rc ? rc : HPE_PAUSED;
}

void cw_parse_init(cw_parser_t *parser) {
  llhttp_t *llp = &parser->behind_line;
  llhttp_settings_init(&parser->callbacks);
  parser->callbacks.on_header_field = on_field;
  parser->callbacks.on_header_value = on_value;
  parser->callbacks.on_headers_complete = on_head_end;
  /* llhttp refuses methods that it does not know, and request lines are checked here
   * anyway: every head is read by a copy of a parser that has read this one. */
  static const char line[] = "GET / HTTP/1.1\r\n";
  llhttp_init(llp, HTTP_REQUEST, &parser->callbacks);
  llhttp_errno_t err = llhttp_execute(llp, line, sizeof(line) - 1);
  assert(err == HPE_OK);
  (void)err;
}

int cw_parse_head(const cw_parser_t *parser, cw_req_t *req, const char *data,
                  size_t n) {
  const cw_limits_t *limits = &req->service->limits;
  cw_head_t *h = &req->head;
  const char *lf = memchr(data, '\n', n);
  size_t line_len = (size_t)(lf - data) - 1;
  if (line_len > limits->request_line) return 414;
  char *p = cw_arena_alloc(&req->arena, n);
  if (!p) return 503;
  memcpy(p, data, n);
  cw_request_line_t line;
  int status = cw_check_request_line((cw_span_t){p, line_len}, &line);
  if (status) return status;
  h->method = line.method;
  h->target = line.target;
  h->minor = line.minor;
  h->content_length = -1;
  parse_t ps = {.req = req, .limits = limits};
  llhttp_t llp = parser->behind_line;
  llp.data = &ps;
  llhttp_errno_t err = llhttp_execute(&llp, p + line_len + 2, n - line_len - 2);
  if (ps.status) return ps.status;
  return err == HPE_PAUSED ? 0 : 400;
}

int cw_parse_partial(const cw_limits_t *limits, const char *p, size_t n) {
  const char *lf = memchr(p, '\n', n);
  if (lf && (lf == p || lf[-1] != '\r')) return 400;
  size_t line_len = lf ? (size_t)(lf - p) - 1 : n;
  if (line_len > limits->request_line + 1) return 414;
  if (lf) {
    /* One line is enough to tell HTTP/0.9, HTTP/2 and noise from a request. */
    cw_request_line_t line;
    if (line_len > limits->request_line) return 414;
    int status = cw_check_request_line((cw_span_t){p, line_len}, &line);
    if (status) return status;
  } else {
    size_t i = 0;
    while (i < n && cw_is_token_byte((unsigned char)p[i])) i++;
    if (i < n && (i == 0 || p[i] != ' ')) return 400;
    for (i++; i < n; i++) {
      unsigned char c = (unsigned char)p[i];
      if (!(cw_byte_class[c] & CW_BYTE_TARGET) && c != ' ' && c != '\r') return 400;
    }
  }
  return n > limits->head ? 431 : 0;
}
