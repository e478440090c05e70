/* SPDX-License-Identifier: MIT */
/* The access log's lines: %-formats, json and gcp (what Google Cloud Logging lifts out
 * of a line: its LogEntry's severity, httpRequest and trace). */
#include "http/access_line.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "http/checks.h"
#include "http/line.h"

enum {
  VALUE = 1500,     /* most bytes of one value, escapes included; */
  SHORT_VALUE = 500 /* together they leave room for all the rest of a JSON line */
};

static const cw_span_t none = {NULL, 0};

/* ---- what the request says ------------------------------------------------ */

static cw_span_t text_of(const char *text) {
  return text ? (cw_span_t){text, strlen(text)} : none;
}

/* The value of a request field, `name` in any case; p is NULL where there is none. */
static cw_span_t field(const cw_access_t *a, cw_span_t name) {
  if (!a->head) return none;
  for (unsigned i = 0; i < a->head->n_fields; i++) {
    const cw_field_t *f = &a->head->fields[i];
    if (f->name.len == name.len && strncasecmp(f->name.p, name.p, name.len) == 0)
      return f->value;
  }
  return none;
}

static cw_span_t field_named(const cw_access_t *a, const char *name) {
  return field(a, text_of(name));
}

static const char *protocol(const cw_access_t *a) {
  return !a->head ? NULL : a->head->minor ? "HTTP/1.1" : "HTTP/1.0";
}

/* The target without its query, as received. */
static cw_span_t raw_path(const cw_access_t *a) {
  cw_span_t t = a->head->target;
  const char *mark = memchr(t.p, '?', t.len);
  return mark ? (cw_span_t){t.p, (size_t)(mark - t.p)} : t;
}

/* The user's name of Basic credentials (RFC 7617 section 2). Returns its length, 0
 * where there is none. */
static size_t basic_user(const cw_access_t *a, char out[256]) {
  cw_span_t v = field_named(a, "authorization");
  uint32_t bits = 0;
  unsigned have = 0;
  size_t n = 0;
  if (v.len < 7 || strncasecmp(v.p, "basic ", 6) != 0) return 0;
  v = cw_trim((cw_span_t){v.p + 6, v.len - 6});
  for (size_t i = 0; i < v.len && n < 256; i++) {
    char c = v.p[i];
    unsigned six = c >= 'A' && c <= 'Z'   ? (unsigned)(c - 'A')
                   : c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 26
                   : c >= '0' && c <= '9' ? (unsigned)(c - '0') + 52
                   : c == '+'             ? 62
                   : c == '/'             ? 63
                                          : 64;
    if (six == 64) return 0; /* padding before a colon: no credentials either */
    bits = bits << 6 | six;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    char byte = (char)(bits >> have & 0xff);
    if (byte == ':') return n;
    out[n++] = byte;
  }
  return 0;
}

/* ---- times ---------------------------------------------------------------- */

/* "[25/Nov/2026:02:27:23 +0000]" in local time; made once a second. */
static const char *common_time(const struct timespec *now) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  static _Thread_local char text[64];
  static _Thread_local time_t made = -1;
  if (now->tv_sec != made) {
    struct tm tm;
    made = now->tv_sec;
    localtime_r(&made, &tm);
    long zone = tm.tm_gmtoff / 60;
    cw_line_t s = {text, 0, sizeof(text) - 1};
    /* strftime would follow the app's locale. */
    cw_line_printf(&s, "[%02d/%.3s/%04d:%02d:%02d:%02d %c%02ld%02ld]", tm.tm_mday,
                   months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                   tm.tm_sec, zone < 0 ? '-' : '+', labs(zone) / 60, labs(zone) % 60);
    text[s.n] = '\0';
  }
  return text;
}

/* RFC 3339, UTC, in microseconds. */
static void put_rfc3339(cw_line_t *s, const struct timespec *now) {
  static _Thread_local char text[32];
  static _Thread_local time_t made = -1;
  if (now->tv_sec != made) {
    struct tm tm;
    made = now->tv_sec;
    gmtime_r(&made, &tm);
    cw_line_t t = {text, 0, sizeof(text) - 1};
    cw_line_printf(&t, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    text[t.n] = '\0';
  }
  cw_line_text(s, text);
  cw_line_micros(s, (unsigned)(now->tv_nsec / 1000));
  cw_line_text(s, "Z");
}

static void put_seconds(cw_line_t *s, int64_t us) {
  cw_line_number(s, us / 1000000);
  cw_line_micros(s, (unsigned)(us % 1000000));
}

/* ---- %-formats ------------------------------------------------------------ */

static void put_or_dash(cw_line_t *s, cw_span_t v) {
  if (v.p)
    cw_line_escaped(s, v, VALUE);
  else
    cw_line_text(s, "-");
}

static void put_request_line(cw_line_t *s, const cw_access_t *a) {
  if (!a->head) {
    put_or_dash(s, a->line.len ? a->line : none);
    return;
  }
  cw_line_escaped(s, a->head->method, SHORT_VALUE);
  cw_line_text(s, " ");
  cw_line_escaped(s, a->head->target, VALUE);
  cw_line_text(s, " ");
  cw_line_text(s, protocol(a));
}

/* `name:value"`; a quote in either would be escaped. */
static void put_listed(cw_line_t *s, cw_span_t name, cw_span_t value) {
  cw_line_escaped(s, name, SHORT_VALUE);
  cw_line_text(s, ":");
  cw_line_escaped(s, value, VALUE);
  cw_line_text(s, "\"");
}

/* All fields of the request, for who takes a line apart again. */
static void put_request_fields(cw_line_t *s, const cw_access_t *a) {
  for (unsigned i = 0; a->head && i < a->head->n_fields; i++)
    put_listed(s, a->head->fields[i].name, a->head->fields[i].value);
}

/* Those of the response, from the lines of its head. */
static void put_response_fields(cw_line_t *s, cw_span_t lines) {
  const char *p = lines.p, *end = p + lines.len, *lf;
  for (; p < end && (lf = memchr(p, '\n', (size_t)(end - p))) != NULL; p = lf + 1) {
    const char *colon = memchr(p, ':', (size_t)(lf - p));
    if (!colon) continue;
    put_listed(s, (cw_span_t){p, (size_t)(colon - p)},
               cw_trim((cw_span_t){colon + 1, (size_t)(lf - colon) - 2}));
  }
}

static void put_atom(cw_line_t *s, const cw_access_op_t *op, const cw_access_t *a) {
  const cw_head_t *h = a->head;
  char user[256];
  switch (op->atom) {
    case CW_ATOM_ADDR:
      put_or_dash(s, a->peer_addr[0] ? text_of(a->peer_addr) : none);
      break;
    case CW_ATOM_USER: {
      size_t n = basic_user(a, user);
      put_or_dash(s, n ? (cw_span_t){user, n} : none);
      break;
    }
    case CW_ATOM_TIME: cw_line_text(s, common_time(&a->now)); break;
    case CW_ATOM_LINE: put_request_line(s, a); break;
    case CW_ATOM_METHOD: put_or_dash(s, h ? h->method : none); break;
    case CW_ATOM_PATH: put_or_dash(s, h ? h->path : none); break;
    case CW_ATOM_QUERY: put_or_dash(s, h ? h->query : none); break;
    case CW_ATOM_PROTOCOL: put_or_dash(s, text_of(protocol(a))); break;
    case CW_ATOM_STATUS:
      if (a->status)
        cw_line_number(s, a->status);
      else
        cw_line_text(s, "-");
      break;
    case CW_ATOM_BYTES: cw_line_number(s, a->body_sent); break;
    case CW_ATOM_REFERER: put_or_dash(s, field_named(a, "referer")); break;
    case CW_ATOM_AGENT: put_or_dash(s, field_named(a, "user-agent")); break;
    case CW_ATOM_SECONDS: cw_line_number(s, a->us / 1000000); break;
    case CW_ATOM_MILLIS: cw_line_number(s, a->us / 1000); break;
    case CW_ATOM_MICROS: cw_line_number(s, a->us); break;
    case CW_ATOM_DECIMAL: put_seconds(s, a->us); break;
    case CW_ATOM_PID: cw_line_printf(s, "<%d>", a->pid); break;
    case CW_ATOM_REQUEST_FIELD:
      if (cw_access_op_is_all(op))
        put_request_fields(s, a);
      else
        put_or_dash(s, field(a, op->text));
      break;
    case CW_ATOM_RESPONSE_FIELD:
      if (!cw_access_op_is_all(op))
        put_or_dash(s, a->fields ? a->fields[op->index] : none);
      else if (a->fields && a->fields[op->index].p)
        put_response_fields(s, a->fields[op->index]);
      break;
    case CW_ATOM_ENVIRON:
      put_or_dash(s, a->environ ? a->environ[op->index] : none);
      break;
    default: cw_line_text(s, "-"); break;
  }
}

/* Cuts and fills what was written since `start`, as "%-10.5s" says. */
static void pad(cw_line_t *s, size_t start, const cw_access_op_t *op) {
  size_t n = s->n - start, width = (size_t)op->width;
  if (op->precision >= 0 && n > (size_t)op->precision) {
    n = (size_t)op->precision;
    s->n = start + n;
  }
  if (n >= width || width > s->size - start) return;
  size_t fill = width - n;
  if (!op->left) memmove(s->p + start + fill, s->p + start, n);
  memset(s->p + (op->left ? start + n : start),
         op->zeros && !op->left && op->precision < 0 ? '0' : ' ', fill);
  s->n = start + width;
}

/* ---- JSON ----------------------------------------------------------------- */

/* `,"key":"value"`, left out where there is none. */
static void put_pair(cw_line_t *s, const char *key, cw_span_t v, size_t most) {
  if (!v.p) return;
  cw_line_text(s, ",\"");
  cw_line_text(s, key);
  cw_line_text(s, "\":\"");
  cw_line_json(s, v, most);
  cw_line_text(s, "\"");
}

static void put_number(cw_line_t *s, const char *before, int64_t n) {
  cw_line_text(s, before);
  cw_line_number(s, n);
}

static void put_json(cw_line_t *s, const cw_access_t *a) {
  const cw_head_t *h = a->head;
  cw_line_text(s, "{\"time\":\"");
  put_rfc3339(s, &a->now);
  cw_line_text(s, "\"");
  put_pair(s, "remote_addr", text_of(a->peer_addr), SHORT_VALUE);
  put_number(s, ",\"status\":", a->status);
  put_number(s, ",\"bytes\":", a->body_sent);
  cw_line_text(s, ",\"duration\":");
  put_seconds(s, a->us);
  if (h) {
    put_pair(s, "method", h->method, SHORT_VALUE / 2);
    put_pair(s, "path", raw_path(a), VALUE / 2);
    put_pair(s, "query", h->query, VALUE / 2);
    put_pair(s, "protocol", text_of(protocol(a)), SHORT_VALUE);
  } else {
    put_pair(s, "request_line", a->line.len ? a->line : none, SHORT_VALUE);
  }
  put_pair(s, "referer", field_named(a, "referer"), SHORT_VALUE);
  put_pair(s, "user_agent", field_named(a, "user-agent"), SHORT_VALUE);
  put_pair(s, "request_id", field_named(a, "x-request-id"), SHORT_VALUE / 2);
  cw_line_text(s, "}");
}

static bool all_hex(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (cw_hex_value(p[i]) < 0) return false;
  return true;
}

/* What a trace header says. */
typedef struct trace {
  cw_span_t id;
  char span[20];
  bool sampled, has_flag;
} trace_t;

/* traceparent (W3C Trace Context): 00-TRACE-SPAN-FLAGS. */
static bool read_traceparent(cw_span_t v, trace_t *t) {
  enum { LEN = 55 };
  if (v.len < LEN || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-' ||
      !all_hex(v.p, 2) || !all_hex(v.p + 3, 32) || !all_hex(v.p + 36, 16) ||
      !all_hex(v.p + 53, 2))
    return false;
  t->id = (cw_span_t){v.p + 3, 32};
  memcpy(t->span, v.p + 36, 16);
  t->span[16] = '\0';
  t->sampled = cw_hex_value(v.p[54]) & 1;
  t->has_flag = true;
  return true;
}

/* X-Cloud-Trace-Context: TRACE/SPAN;o=FLAG, the span in decimal. */
static bool read_cloud_trace(cw_span_t v, trace_t *t) {
  size_t n = 0;
  uint64_t span = 0;
  while (n < v.len && all_hex(v.p + n, 1)) n++;
  if (n != 32) return false;
  t->id = (cw_span_t){v.p, n};
  if (n < v.len && v.p[n] == '/')
    for (n++; n < v.len && v.p[n] >= '0' && v.p[n] <= '9'; n++)
      span = span * 10 + (uint64_t)(v.p[n] - '0');
  cw_line_t s = {t->span, 0, sizeof(t->span) - 1};
  if (span) cw_line_printf(&s, "%016llx", (unsigned long long)span);
  t->span[s.n] = '\0';
  t->has_flag = v.len >= n + 4 && memcmp(v.p + n, ";o=", 3) == 0;
  t->sampled = t->has_flag && v.p[n + 3] == '1';
  return true;
}

static void put_trace(cw_line_t *s, const cw_access_t *a) {
  trace_t t = {.has_flag = false};
  if (!read_traceparent(field_named(a, "traceparent"), &t) &&
      !read_cloud_trace(field_named(a, "x-cloud-trace-context"), &t))
    return;
  cw_line_text(s, ",\"logging.googleapis.com/trace\":\"");
  if (a->project) {
    cw_line_text(s, "projects/");
    cw_line_json(s, text_of(a->project), 100);
    cw_line_text(s, "/traces/");
  }
  cw_line_put(s, t.id.p, t.id.len);
  cw_line_text(s, "\"");
  if (t.span[0])
    put_pair(s, "logging.googleapis.com/spanId", text_of(t.span), SHORT_VALUE);
  if (t.has_flag)
    cw_line_printf(s, ",\"logging.googleapis.com/trace_sampled\":%s",
                   t.sampled ? "true" : "false");
}

static void put_url(cw_line_t *s, const cw_access_t *a) {
  const cw_head_t *h = a->head;
  cw_span_t host = field_named(a, "host");
  cw_line_text(s, ",\"requestUrl\":\"");
  if (host.len && h->target.p[0] == '/') {
    cw_line_text(s, h->scheme);
    cw_line_text(s, "://");
    cw_line_json(s, host, 255);
  }
  cw_line_json(s, h->target, VALUE / 2);
  cw_line_text(s, "\"");
}

static void put_gcp(cw_line_t *s, const cw_access_t *a) {
  const cw_head_t *h = a->head;
  cw_line_text(s, a->status >= 500   ? "{\"severity\":\"ERROR\",\"time\":\""
                  : a->status >= 400 ? "{\"severity\":\"WARNING\",\"time\":\""
                                     : "{\"severity\":\"INFO\",\"time\":\"");
  put_rfc3339(s, &a->now);
  cw_line_text(s, "\"");
  if (h) put_trace(s, a);
  cw_line_text(s, ",\"message\":\"");
  cw_line_json(s, h ? h->method : a->line, SHORT_VALUE / 2);
  if (h) {
    cw_line_text(s, " ");
    cw_line_json(s, h->target, SHORT_VALUE);
  }
  put_number(s, " ", a->status);
  put_number(s, "\",\"httpRequest\":{\"status\":", a->status);
  /* 64-bit numbers are strings in the JSON form of Google's messages. */
  put_number(s, ",\"requestSize\":\"", (int64_t)a->received);
  put_number(s, "\",\"responseSize\":\"", (int64_t)a->sent);
  cw_line_text(s, "\",\"latency\":\"");
  put_seconds(s, a->us);
  cw_line_text(s, "s\"");
  if (a->peer_addr[0]) put_pair(s, "remoteIp", text_of(a->peer_addr), SHORT_VALUE);
  if (h) {
    put_pair(s, "requestMethod", h->method, SHORT_VALUE / 2);
    put_url(s, a);
    put_pair(s, "protocol", text_of(protocol(a)), SHORT_VALUE);
  }
  put_pair(s, "referer", field_named(a, "referer"), SHORT_VALUE);
  put_pair(s, "userAgent", field_named(a, "user-agent"), SHORT_VALUE);
  cw_line_text(s, "}}");
}

size_t cw_access_line(const cw_access_format_t *f, const cw_access_t *a,
                      char buf[CW_ACCESS_LINE]) {
  cw_line_t s = {buf, 0, CW_ACCESS_LINE - 1};
  for (unsigned i = 0; i < f->n; i++) {
    const cw_access_op_t *op = &f->ops[i];
    size_t start = s.n;
    switch (op->atom) {
      case CW_ATOM_TEXT: cw_line_put(&s, op->text.p, op->text.len); break;
      case CW_ATOM_JSON: put_json(&s, a); break;
      case CW_ATOM_GCP: put_gcp(&s, a); break;
      default:
        put_atom(&s, op, a);
        if (op->width || op->precision >= 0) pad(&s, start, op);
        break;
    }
  }
  buf[s.n++] = '\n';
  return s.n;
}
