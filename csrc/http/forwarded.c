/* SPDX-License-Identifier: MIT */
/* Proxy headers. Lists grow to the right, so the last element is the nearest proxy's
 * word, and the client is the rightmost address that is no trusted proxy itself. */
#include "http/forwarded.h"

#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "http/checks.h"

/* What the fields said so far. */
typedef struct said {
  int https; /* -1: nothing yet */
  cw_span_t client, host, port, script_name;
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

static bool all_digits(cw_span_t s) {
  for (size_t i = 0; i < s.len; i++)
    if (s.p[i] < '0' || s.p[i] > '9') return false;
  return s.len > 0;
}

/* The address of a node ("a.b.c.d", "a.b.c.d:port", "[v6]:port", "v6"); false for names
 * and "unknown". */
static bool node_address(cw_span_t node, cw_addr_t *addr, cw_span_t *text) {
  if (node.len >= 2 && node.p[0] == '"' && node.p[node.len - 1] == '"')
    node = (cw_span_t){node.p + 1, node.len - 2};
  *text = node;
  if (node.len && node.p[0] == '[') {
    const char *close = memchr(node.p, ']', node.len);
    if (!close) return false;
    *text = (cw_span_t){node.p + 1, (size_t)(close - node.p) - 1};
  } else {
    const char *colon = node.len ? memchr(node.p, ':', node.len) : NULL;
    /* One colon separates a port, more are an IPv6 address. */
    if (colon && colon == (const char *)memrchr(node.p, ':', node.len))
      text->len = (size_t)(colon - node.p);
  }
  return cw_addr_parse(*text, addr) == 0;
}

/* Takes the rightmost untrusted address of the list as the client; where all are
 * trusted, the leftmost. Stops at what is no address: nothing left of it can be
 * believed. */
static void say_client(said_t *s, cw_span_t node, const cw_networks_t *trusted,
                       bool *done) {
  cw_addr_t addr;
  cw_span_t text;
  if (*done) return;
  if (!node_address(node, &addr, &text)) {
    *done = true;
    return;
  }
  s->client = text;
  *done = !trusted->all && !cw_networks_have(trusted, &addr);
}

static void read_for(said_t *s, cw_span_t list, const cw_networks_t *trusted) {
  bool done = false;
  while (list.len && !done) say_client(s, last_element(&list), trusted, &done);
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
      if (v.len >= 2 && v.p[0] == '"' && v.p[v.len - 1] == '"') v.p++, v.len -= 2;
      return v;
    }
    size_t used = pair.len + (semicolon != NULL);
    element.p += used;
    element.len -= used;
  }
  return (cw_span_t){NULL, 0};
}

static int read_forwarded(said_t *s, cw_span_t list, const cw_networks_t *trusted) {
  bool done = false, nearest = true;
  while (list.len) {
    cw_span_t e = last_element(&list);
    if (nearest) {
      cw_span_t proto = parameter(e, "proto"), host = parameter(e, "host");
      int status = proto.p ? say_scheme(s, cw_span_is(proto, "https")) : 0;
      if (status) return status;
      if (host.p) s->host = host;
      nearest = false;
    }
    cw_span_t node = parameter(e, "for");
    if (!node.p) break;
    say_client(s, node, trusted, &done);
  }
  return 0;
}

/* One field. Returns 0 or a status. */
static int read_field(said_t *s, const cw_field_t *f, const cw_server_t *srv) {
  const cw_networks_t *trusted = &srv->limits.trusted;
  cw_span_t list = f->value;
  const cw_schemes_t *schemes = &srv->schemes;
  bool maybe = f->name.len < CW_SCHEME_NAME && schemes->lengths >> f->name.len & 1;
  for (unsigned i = 0; maybe && i < schemes->n; i++) {
    const cw_scheme_t *scheme = &schemes->items[i];
    if (f->name.len == scheme->name_len && cw_span_is(f->name, scheme->name)) {
      cw_span_t value = f->value;
      return say_scheme(s, cw_span_is(last_element(&value), scheme->value));
    }
  }
  switch (f->name.len) {
    case 9:
      if (cw_span_is(f->name, "forwarded")) return read_forwarded(s, list, trusted);
      break;
    case 15:
      if (cw_span_is(f->name, "x-forwarded-for")) read_for(s, list, trusted);
      break;
    case 16:
      if (cw_span_is(f->name, "x-forwarded-host")) s->host = last_element(&list);
      if (cw_span_is(f->name, "x-forwarded-port")) {
        s->port = last_element(&list);
        if (!all_digits(s->port) || s->port.len > 5) return 400;
      }
      break;
    case 11:
      if (cw_span_is(f->name, "script_name")) s->script_name = f->value;
      break;
    default: break;
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

int cw_forwarded_apply(cw_req_t *req) {
  cw_head_t *h = &req->head;
  said_t s = {.https = -1};
  cw_field_t *host = NULL;
  for (unsigned i = 0; i < h->n_fields; i++) {
    cw_field_t *f = &h->fields[i];
    if (f->name.len == 4 && cw_span_is(f->name, "host")) host = f;
    int status = read_field(&s, f, req->conn->srv);
    if (status) return status;
  }
  if (s.https >= 0) h->scheme = s.https ? "https" : "http";
  if (s.client.len) {
    if (!(h->peer_addr = copy(req, s.client))) return 503;
    h->peer_port = ""; /* not known */
  }
  if (s.host.len) {
    if (!cw_check_host(s.host)) return 400;
    if (host) host->value = s.host;
  }
  if (s.port.len && !(h->server_port = copy(req, s.port))) return 503;
  return s.script_name.len ? cut_script_name(h, s.script_name) : 0;
}

/* ---- settings --------------------------------------------------------------- */

bool cw_forwarded_allows(const cw_server_t *srv, cw_span_t name) {
  const char *text = srv->limits.forwarder_headers;
  while (text && *text) {
    size_t n = strcspn(text, ",");
    cw_span_t word = cw_trim((cw_span_t){text, n});
    if (word.len == 1 && word.p[0] == '*') return true;
    if (word.len == name.len && strncasecmp(word.p, name.p, name.len) == 0) return true;
    text += n + (text[n] == ',');
  }
  return false;
}
