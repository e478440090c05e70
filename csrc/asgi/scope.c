/* SPDX-License-Identifier: MIT */
/* scope: a copy of a template dict, then what this request says (ASGI 3.0, "HTTP
 * Connection Scope"). Names of header fields are remembered as they come, as many as
 * there is room for; nothing else that a client chose outlives its request. */
#include <string.h>

#include "asgi/asgi_internal.h"
#include "base/hash.h"

enum {
  NAMES = 256,     /* slots for header names; a power of two */
  NAMES_FULL = 192 /* no more are remembered: names come from clients */
};

/* All of 2.5 is here. But from 2.4 on Starlette does not listen for a client that
 * leaves while it streams, since send() would tell: a stream that waits for something
 * to send would wait for ever. Other servers say 2.3, and apps count on what follows.
 */
#define SPEC "2.3"

#define KEYS(X)                   \
  X(asgi, "asgi")                 \
  X(http_version, "http_version") \
  X(method, "method")             \
  X(scheme, "scheme")             \
  X(raw_path, "raw_path")         \
  X(query_string, "query_string") \
  X(root_path, "root_path")       \
  X(client, "client")             \
  X(server, "server")             \
  X(state, "state")               \
  X(extensions, "extensions")     \
  X(empty, "")                    \
  X(http, "http")                 \
  X(https, "https")               \
  X(http_10, "1.0")               \
  X(http_11, "1.1")               \
  X(get, "GET")                   \
  X(post, "POST")

#define DECLARE(id, text) static PyObject *k_##id;
KEYS(DECLARE)
#undef DECLARE

/* The interpreter's, guarded by the GIL; cw_scope_clear() frees what they hold. */
static PyObject *template;
static PyObject *no_bytes;
static unsigned n_names;
static struct name {
  PyObject *lower; /* bytes */
  unsigned short len;
  char raw[62];
} names[NAMES];

/* The last value of what hardly varies: (host, port). A client's port does, and is made
 * anew. */
static struct pair {
  char host[108], port[8];
  PyObject *name, *value;
} server, client;

/* ASGI 3.0: header names are lower case. */
static CW_NEW PyObject *make_lower(cw_span_t raw) {
  PyObject *lower = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)raw.len);
  if (!lower) return NULL;
  char *out = PyBytes_AS_STRING(lower);
  for (size_t i = 0; i < raw.len; i++) {
    char c = raw.p[i];
    out[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
  }
  return lower;
}

static CW_NEW PyObject *lower_name(cw_span_t raw) {
  if (raw.len > sizeof(names[0].raw)) return make_lower(raw);
  unsigned i = cw_hash(raw.p, raw.len) % NAMES;
  while (names[i].lower) {
    if (names[i].len == raw.len && memcmp(names[i].raw, raw.p, raw.len) == 0)
      return Py_NewRef(names[i].lower);
    i = (i + 1) % NAMES;
  }
  PyObject *lower = make_lower(raw);
  if (!lower || n_names == NAMES_FULL) return lower;
  names[i].lower = Py_NewRef(lower);
  names[i].len = (unsigned short)raw.len;
  memcpy(names[i].raw, raw.p, raw.len);
  n_names++;
  return lower;
}

#define PATHSEND "http.response.pathsend"
#define EARLY_HINT "http.response.early_hint"

static CW_NEW PyObject *extensions(bool trailers) {
  return trailers ? Py_BuildValue("{s{}s{}s{}}", PATHSEND, EARLY_HINT,
                                  "http.response.trailers")
                  : Py_BuildValue("{s{}s{}}", PATHSEND, EARLY_HINT);
}

/* The order is that of the specification. */
CW_COLD static CW_RAISES int fill_template(void) {
  PyObject *later[] = {k_http_version, k_method,     cw_s_path, k_raw_path,
                       k_query_string, cw_s_headers, k_client,  k_server};
  if (PyDict_SetItem(template, cw_s_type, k_http) < 0 ||
      cw_dict_take(template, k_asgi,
                   Py_BuildValue("{ssss}", "version", "3.0", "spec_version", SPEC)) <
          0 ||
      PyDict_SetItem(template, k_scheme, k_http) < 0 ||
      PyDict_SetItem(template, k_root_path, k_empty) < 0 ||
      cw_dict_take(template, k_extensions, extensions(false)) < 0)
    return -1;
  for (size_t i = 0; i < CW_ARRAY_LEN(later); i++)
    if (PyDict_SetItem(template, later[i], Py_None) < 0) return -1;
  return PyDict_SetItem(template, k_state, Py_None);
}

CW_COLD int cw_scope_init(void) {
#define INTERN(id, text) \
  if (!(k_##id = PyUnicode_InternFromString(text))) return -1;
  KEYS(INTERN)
#undef INTERN
  template = PyDict_New();
  no_bytes = PyBytes_FromStringAndSize(NULL, 0);
  return template && no_bytes ? fill_template() : -1;
}

static void forget(struct pair *pair) {
  Py_CLEAR(pair->name);
  Py_CLEAR(pair->value);
}

void cw_scope_clear(void) {
#define CLEAR(id, text) Py_CLEAR(k_##id);
  KEYS(CLEAR)
#undef CLEAR
  Py_CLEAR(template);
  Py_CLEAR(no_bytes);
  forget(&server);
  forget(&client);
  for (unsigned i = 0; i < NAMES; i++) Py_CLEAR(names[i].lower);
  n_names = 0;
}

/* The host's str, the last one where it is the same; NULL with an exception. */
static CW_RAISES PyObject *host_name(struct pair *last, const char *host) {
  if (last->name && strcmp(last->host, host) == 0) return Py_NewRef(last->name);
  PyObject *name = PyUnicode_FromString(host);
  if (!name || strlen(host) >= sizeof(last->host)) return name;
  forget(last);
  memcpy(last->host, host, strlen(host) + 1);
  last->name = Py_NewRef(name);
  return name;
}

static long number_of(const char *digits) {
  long n = 0;
  for (; *digits; digits++) n = n * 10 + (*digits - '0');
  return n;
}

/* (host, port) as ASGI has it; None for who has no address. */
static CW_NEW PyObject *address(struct pair *last, const char *host, const char *port) {
  if (!*host) return Py_NewRef(Py_None);
  PyObject *name = host_name(last, host);
  if (name && name == last->name && last->value && strcmp(last->port, port) == 0) {
    Py_DECREF(name);
    return Py_NewRef(last->value);
  }
  PyObject *value = name ? PyTuple_New(2) : NULL,
           *number = value ? PyLong_FromLong(number_of(port)) : NULL;
  if (!number) {
    Py_XDECREF(name);
    Py_XDECREF(value);
    return NULL;
  }
  PyTuple_SET_ITEM(value, 0, name);
  PyTuple_SET_ITEM(value, 1, number);
  if (name != last->name || strlen(port) >= sizeof(last->port)) return value;
  memcpy(last->port, port, strlen(port) + 1);
  Py_XSETREF(last->value, Py_NewRef(value));
  return value;
}

static CW_NEW PyObject *method(cw_span_t m) {
  if (m.len == 3 && memcmp(m.p, "GET", 3) == 0) return Py_NewRef(k_get);
  if (m.len == 4 && memcmp(m.p, "POST", 4) == 0) return Py_NewRef(k_post);
  return PyUnicode_DecodeLatin1(m.p, (Py_ssize_t)m.len, NULL);
}

static CW_NEW PyObject *bytes(cw_span_t s) {
  return s.len ? PyBytes_FromStringAndSize(s.p, (Py_ssize_t)s.len)
               : Py_NewRef(no_bytes);
}

/* The path as the request line has it: without the query, and without scheme and
 * authority where the target has them (RFC 9112 section 3.2.2). */
static cw_span_t raw_path(cw_span_t target) {
  const char *end = memchr(target.p, '?', target.len);
  cw_span_t s = {target.p, end ? (size_t)(end - target.p) : target.len};
  if (!s.len || s.p[0] == '/') return s;
  const char *colon = memchr(s.p, ':', s.len);
  if (!colon || s.p + s.len - colon < 3 || colon[1] != '/') return s;
  const char *path = memchr(colon + 3, '/', (size_t)(s.p + s.len - colon - 3));
  return path ? (cw_span_t){path, (size_t)(s.p + s.len - path)} : (cw_span_t){"/", 1};
}

/* ASGI 3.0: percent-decoded, and UTF-8; root_path is a part of it. */
static CW_RAISES int take_path(PyObject *scope, const cw_head_t *h,
                               const cw_mount_t *mount) {
  cw_span_t root = cw_mount_root(h->script_name);
  PyObject *path = PyUnicode_DecodeUTF8(h->path.p, (Py_ssize_t)h->path.len, "replace");
  if (!path || CW_LIKELY(!mount->len && !root.len))
    return cw_dict_take(scope, cw_s_path, path);
  PyObject *front = PyUnicode_DecodeUTF8(root.p, (Py_ssize_t)root.len, "replace");
  PyObject *whole = front ? PyUnicode_Concat(front, path) : NULL;
  Py_XDECREF(front);
  Py_DECREF(path);
  if (cw_dict_take(scope, cw_s_path, whole) < 0) return -1;
  return cw_dict_take(scope, k_root_path, cw_mount_script_name(mount, h->script_name));
}

static CW_NEW PyObject *headers(const cw_head_t *h) {
  PyObject *list = PyList_New((Py_ssize_t)h->n_fields);
  for (unsigned i = 0; list && i < h->n_fields; i++) {
    const cw_field_t *f = &h->fields[i];
    PyObject *pair = PyTuple_New(2), *name = lower_name(f->name),
             *value = bytes(f->value);
    if (!pair || !name || !value) {
      Py_XDECREF(pair);
      Py_XDECREF(name);
      Py_XDECREF(value);
      Py_CLEAR(list);
      break;
    }
    PyTuple_SET_ITEM(pair, 0, name);
    PyTuple_SET_ITEM(pair, 1, value);
    PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
  }
  return list;
}

PyObject *cw_scope_new(const cw_head_t *h, const cw_mount_t *mount, PyObject *state) {
  CW_ASSERT_GIL();
  PyObject *scope = PyDict_Copy(template);
  if (!scope) return NULL;
  if (PyDict_SetItem(scope, k_http_version, h->minor ? k_http_11 : k_http_10) < 0 ||
      cw_dict_take(scope, k_method, method(h->method)) < 0 ||
      take_path(scope, h, mount) < 0 ||
      cw_dict_take(scope, k_raw_path, bytes(raw_path(h->target))) < 0 ||
      cw_dict_take(scope, k_query_string, bytes(h->query)) < 0 ||
      cw_dict_take(scope, cw_s_headers, headers(h)) < 0 ||
      cw_dict_take(scope, k_client, address(&client, h->peer_addr, h->peer_port)) < 0 ||
      cw_dict_take(scope, k_server, address(&server, h->server_name, h->server_port)) <
          0 ||
      cw_dict_take(scope, k_state, PyDict_Copy(state)) < 0)
    goto fail;
  if (CW_UNLIKELY(cw_head_takes_trailers(h)) &&
      cw_dict_take(scope, k_extensions, extensions(true)) < 0)
    goto fail;
  if (h->scheme[4] && PyDict_SetItem(scope, k_scheme, k_https) < 0) goto fail;
  return scope;
fail:
  Py_DECREF(scope);
  return NULL;
}
