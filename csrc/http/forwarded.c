/* SPDX-License-Identifier: MIT */
/* Proxy headers. Lists grow to the right, so the last element is the nearest proxy's
 * word, and the client is the rightmost address that is no trusted proxy itself. What
 * stands left of that may be the client's own. */
#include "http/forwarded.h"

#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "http/checks.h"

/* A node without its brackets and quotes. */
typedef struct node {
  cw_span_t addr, port; /* `port` empty where it says none */
} node_t;

/* Who the client is, as one list of addresses has it. */
typedef struct chain {
  node_t client; /* empty: not said */
  bool done;     /* nothing further left counts */
} chain_t;

/* What the fields that count said so far. They are read from the last to the first. */
typedef struct said {
  int https;               /* -1: nothing yet */
  chain_t list, forwarded; /* X-Forwarded-For, Forwarded */
  cw_span_t host, forwarded_host, port, script_name;
  bool nearest; /* the last element of Forwarded was read */
} said_t;

static int say_scheme(said_t *s, bool https) {
  if (s->https >= 0 && s->https != https) return 400;
  s->https = https;
  return 0;
}

/* Cuts the last element off a list. An empty list gives an empty element. */
static cw_span_t last_element(cw_span_t *list) {
  const char *comma = list->len ? memrchr(list->p, ',', list->len) : NULL;
  cw_span_t e = *list;
  if (comma) e = (cw_span_t){comma + 1, list->len - (size_t)(comma + 1 - list->p)};
  list->len = comma ? (size_t)(comma - list->p) : 0;
  return cw_trim(e);
}

/* A port as text: one to five digits. */
static bool is_port(cw_span_t s) {
  unsigned n = 0;
  if (s.len == 0 || s.len > 5) return false;
  for (size_t i = 0; i < s.len; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return false;
    n = n * 10 + (unsigned)(s.p[i] - '0');
  }
  return n <= 65535;
}

/* Reads a node ("a.b.c.d", "a.b.c.d:port", "[v6]:port", "v6"); false for names and
 * "unknown". A port that is no number is none. */
static bool read_node(cw_span_t text, cw_addr_t *addr, node_t *out) {
  if (text.len >= 2 && text.p[0] == '"' && text.p[text.len - 1] == '"')
    text = (cw_span_t){text.p + 1, text.len - 2};
  const char *end = text.p + text.len, *colon = NULL;
  *out = (node_t){.addr = text};
  if (text.len && text.p[0] == '[') {
    const char *close = memchr(text.p, ']', text.len);
    if (!close) return false;
    out->addr = (cw_span_t){text.p + 1, (size_t)(close - text.p) - 1};
    if (close + 1 < end && close[1] == ':') colon = close + 1;
  } else {
    colon = text.len ? memchr(text.p, ':', text.len) : NULL;
    /* One colon separates a port, more are an IPv6 address. */
    if (colon && colon != (const char *)memrchr(text.p, ':', text.len)) colon = NULL;
    if (colon) out->addr.len = (size_t)(colon - text.p);
  }
  if (colon) {
    cw_span_t port = {colon + 1, (size_t)(end - colon - 1)};
    if (is_port(port)) out->port = port;
  }
  return cw_addr_parse(out->addr, addr) == 0;
}

/* Takes one more node, from the right: the client is the first that is no trusted
 * proxy, or the rightmost of all where every one is. Stops at what is no address:
 * nothing left of it can be believed. */
static void say_client(chain_t *c, cw_span_t text, const cw_networks_t *trusted) {
  cw_addr_t addr;
  node_t node;
  if (c->done) return;
  c->done = !read_node(text, &addr, &node);
  if (c->done) return;
  bool stranger = !trusted->all && !cw_networks_have(trusted, &addr);
  if (stranger || !c->client.addr.len) c->client = node;
  c->done = stranger || trusted->all;
}

static void read_for(said_t *s, cw_span_t list, const cw_networks_t *trusted) {
  while (list.len && !s->list.done) say_client(&s->list, last_element(&list), trusted);
}

/* Finds a parameter of one forwarded-element (RFC 7239 section 4). */
static cw_span_t parameter(cw_span_t element, const char *name) {
  while (element.len) {
    const char *semicolon = memchr(element.p, ';', element.len);
    cw_span_t pair = {element.p,
                      semicolon ? (size_t)(semicolon - element.p) : element.len};
    const char *eq = memchr(pair.p, '=', pair.len);
    if (eq && cw_span_is(cw_trim((cw_span_t){pair.p, (size_t)(eq - pair.p)}), name)) {
      cw_span_t v = cw_trim((cw_span_t){eq + 1, pair.len - (size_t)(eq + 1 - pair.p)});
      if (v.len >= 2 && v.p[0] == '"' && v.p[v.len - 1] == '"')
        v = (cw_span_t){v.p + 1, v.len - 2};
      return v;
    }
    size_t used = pair.len + (semicolon != NULL);
    element.p += used;
    element.len -= used;
  }
  return (cw_span_t){NULL, 0};
}

static int read_forwarded(said_t *s, cw_span_t list, const cw_networks_t *trusted) {
  while (list.len) {
    cw_span_t e = last_element(&list);
    if (!s->nearest) {
      cw_span_t proto = parameter(e, "proto");
      int status = proto.p ? say_scheme(s, cw_span_is(proto, "https")) : 0;
      if (status) return status;
      s->forwarded_host = parameter(e, "host");
      s->nearest = true;
    }
    cw_span_t node = parameter(e, "for");
    if (!node.p) s->forwarded.done = true;
    say_client(&s->forwarded, node, trusted);
    if (s->forwarded.done) break;
  }
  return 0;
}

/* What a field of this name says of the client, one of CW_SAYS_*, or 0. */
static unsigned says(cw_span_t name) {
  switch (name.len) {
    case 9: return cw_span_is(name, "forwarded") ? CW_SAYS_FORWARDED : 0;
    case 15: return cw_span_is(name, "x-forwarded-for") ? CW_SAYS_FOR : 0;
    case 16:
      return cw_span_is(name, "x-forwarded-host")   ? CW_SAYS_HOST
             : cw_span_is(name, "x-forwarded-port") ? CW_SAYS_PORT
                                                    : 0;
    default: return 0;
  }
}

/* The row of --secure-scheme-headers for this name, or NULL. */
static const cw_scheme_t *scheme_named(const cw_schemes_t *schemes, cw_span_t name) {
  if (name.len >= CW_SCHEME_NAME || !(schemes->lengths >> name.len & 1)) return NULL;
  for (unsigned i = 0; i < schemes->n; i++) {
    const cw_scheme_t *scheme = &schemes->items[i];
    if (name.len == scheme->name_len && cw_span_is(name, scheme->name)) return scheme;
  }
  return NULL;
}

/* One field. Returns 0 or a status. */
static int read_field(said_t *s, const cw_field_t *f, const cw_service_t *service) {
  const cw_networks_t *trusted = &service->limits.trusted;
  cw_span_t list = f->value;
  const cw_scheme_t *scheme = scheme_named(&service->schemes, f->name);
  if (scheme) return say_scheme(s, cw_span_is(last_element(&list), scheme->value));
  switch (says(f->name) & service->limits.proxy_headers) {
    case CW_SAYS_FORWARDED: return read_forwarded(s, list, trusted);
    case CW_SAYS_FOR: read_for(s, list, trusted); break;
    case CW_SAYS_HOST:
      if (!s->host.len) s->host = last_element(&list);
      break;
    case CW_SAYS_PORT:
      if (s->port.len) break;
      s->port = last_element(&list);
      if (!is_port(s->port)) return 400;
      break;
    default:
      if (f->name.len == 11 && cw_span_is(f->name, "script_name") &&
          cw_forwarded_allows(&service->limits, f->name) && !s->script_name.len)
        s->script_name = f->value;
      break;
  }
  return 0;
}

static char *copy(cw_req_t *req, cw_span_t s) {
  char *p = cw_arena_alloc(&req->arena, s.len + 1);
  if (!p) return NULL;
  memcpy(p, s.p, s.len);
  p[s.len] = '\0';
  return p;
}

/* Moves the prefix under which the proxy serves the app from the path, as gunicorn
 * does.
 */
static int cut_script_name(cw_head_t *h, cw_span_t name) {
  bool whole = h->path.len >= name.len && memcmp(h->path.p, name.p, name.len) == 0 &&
               (h->path.len == name.len || h->path.p[name.len] == '/' ||
                name.p[name.len - 1] == '/');
  if (!whole) {
    cw_log(CW_LOG_WARNING, "path %.*s does not begin with SCRIPT_NAME %.*s",
           (int)CW_MIN(h->path.len, 200u), h->path.p, (int)CW_MIN(name.len, 200u),
           name.p);
    return 500;
  }
  h->script_name = name;
  h->path.p += name.len;
  h->path.len -= name.len;
  return 0;
}

static bool same(cw_span_t a, cw_span_t b) {
  return a.len == b.len && strncasecmp(a.p, b.p, a.len) == 0;
}

/* Where X-Forwarded-For and Forwarded both count they must agree: one of them may be
 * the client's own. */
static int take_client(cw_head_t *h, const said_t *s, cw_req_t *req) {
  const node_t *one = &s->list.client, *other = &s->forwarded.client;
  if (!one->addr.len) one = other;
  if (other->addr.len && !same(one->addr, other->addr)) return 400;
  if (!one->addr.len) return 0;
  if (!(h->peer_addr = copy(req, one->addr))) return 503;
  h->peer_port = "0"; /* not known */
  if (one->port.len && !(h->peer_port = copy(req, one->port))) return 503;
  return 0;
}

static int take_host(const said_t *s, cw_field_t *field) {
  cw_span_t host = s->host.len ? s->host : s->forwarded_host;
  if (!host.len) return 0;
  if (s->forwarded_host.len && !same(host, s->forwarded_host)) return 400;
  if (!cw_check_host(host, false)) return 400;
  if (field) field->value = host;
  return 0;
}

/* Whether a checked Host names a port. */
static bool names_port(cw_span_t host) {
  const char *colon = memrchr(host.p, ':', host.len), *end = host.p + host.len;
  return colon && colon + 1 < end && !memchr(colon, ']', (size_t)(end - colon));
}

int cw_forwarded_apply(cw_req_t *req) {
  cw_head_t *h = &req->head;
  said_t s = {.https = -1};
  cw_field_t *host = NULL;
  int status;
  for (unsigned i = h->n_fields; i-- > 0;) {
    cw_field_t *f = &h->fields[i];
    if (f->name.len == 4 && cw_span_is(f->name, "host")) host = f;
    if ((status = read_field(&s, f, req->service)) != 0) return status;
  }
  if (s.https >= 0) h->scheme = s.https ? "https" : "http";
  if ((status = take_client(h, &s, req)) != 0 || (status = take_host(&s, host)) != 0)
    return status;
  /* The port of a URL without one, not ours: the proxy's is what the client used. */
  if (h->scheme[4] && !(host && names_port(host->value))) h->server_port = "443";
  if (s.port.len && !(h->server_port = copy(req, s.port))) return 503;
  return s.script_name.len ? cut_script_name(h, s.script_name) : 0;
}

/* Whether a field is of the kind that proxies send, though none here may read it. */
static bool is_of_proxies(cw_span_t name) {
  static const char prefix[] = "x-forwarded-";
  enum { PREFIX = sizeof(prefix) - 1 };
  return (name.len > PREFIX && strncasecmp(name.p, prefix, PREFIX) == 0) ||
         (name.len == 9 && cw_span_is(name, "x-real-ip"));
}

void cw_forwarded_clear(cw_req_t *req) {
  cw_head_t *h = &req->head;
  const cw_service_t *service = req->service;
  bool trusted = req->trusted;
  unsigned kept = 0;
  for (unsigned i = 0; i < h->n_fields; i++) {
    cw_span_t name = h->fields[i].name;
    unsigned what = says(name);
    bool counts = trusted ? !what || (what & service->limits.proxy_headers)
                          : !what && !is_of_proxies(name) &&
                                !scheme_named(&service->schemes, name);
    if (counts) h->fields[kept++] = h->fields[i];
  }
  h->n_fields = kept;
}

/* ---- queue time ------------------------------------------------------------- */

/* A time since 1970 in us; which unit it is in, its size tells. 0 where it is none. */
static int64_t read_time(cw_span_t v) {
  static const struct {
    int64_t least;
    int64_t mul, div;
  } units[] = {{(int64_t)1e17, 1, 1000}, /* ns */
               {(int64_t)1e14, 1, 1},
               {(int64_t)1e11, 1000, 1},
               {(int64_t)1e8, 1000000, 1}};
  enum { MOST_DIGITS = 19 };
  int64_t whole = 0, part = 0, scale = 1;
  size_t i = v.len > 2 && memcmp(v.p, "t=", 2) == 0 ? 2 : 0, begin = i;
  for (; i < v.len && v.p[i] >= '0' && v.p[i] <= '9'; i++) {
    if (i - begin >= MOST_DIGITS - 1 && whole > INT64_MAX / 10 - 1) return 0;
    whole = whole * 10 + (v.p[i] - '0');
  }
  if (i < v.len && v.p[i] == '.')
    for (i++; i < v.len && v.p[i] >= '0' && v.p[i] <= '9'; i++)
      if (scale < 1000000) {
        part = part * 10 + (v.p[i] - '0');
        scale *= 10;
      }
  if (i < v.len) return 0;
  for (size_t k = 0; k < CW_ARRAY_LEN(units); k++)
    if (whole >= units[k].least)
      return whole / units[k].div * units[k].mul + part * units[k].mul / scale;
  return 0;
}

int64_t cw_forwarded_start(const cw_req_t *req) {
  const cw_head_t *h = &req->head;
  for (unsigned i = 0; req->trusted && i < h->n_fields; i++)
    if (h->fields[i].name.len == 15 && cw_span_is(h->fields[i].name, "x-request-start"))
      return read_time(h->fields[i].value);
  return 0;
}

/* ---- settings --------------------------------------------------------------- */

bool cw_forwarded_allows(const cw_limits_t *limits, cw_span_t name) {
  const char *text = limits->forwarder_headers;
  while (text && *text) {
    size_t n = strcspn(text, ",");
    cw_span_t word = cw_trim((cw_span_t){text, n});
    if (word.len == 1 && word.p[0] == '*') return true;
    if (word.len == name.len && strncasecmp(word.p, name.p, name.len) == 0) return true;
    text += n + (text[n] == ',');
  }
  return false;
}
