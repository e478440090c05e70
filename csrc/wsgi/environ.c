/* SPDX-License-Identifier: MIT */
/* environ: a copy of a template dict, then what this request says. Constant keys are
 * interned once; names of header fields are remembered as they come, as many as there
 * is room for. Nothing else that a client chose outlives its request. */
#include <string.h>

#include "base/addr.h"
#include "base/hash.h"
#include "wsgi/wsgi.h"
#include "wsgi/wsgi_internal.h"

enum {
  NAMES = 256,     /* slots for header names; a power of two */
  NAMES_FULL = 192 /* no more are remembered: names come from clients */
};

/* Constant keys and values, made once. */
#define KEYS(X)                         \
  X(wsgi_input, "wsgi.input")           \
  X(request_method, "REQUEST_METHOD")   \
  X(path_info, "PATH_INFO")             \
  X(query_string, "QUERY_STRING")       \
  X(raw_uri, "RAW_URI")                 \
  X(request_uri, "REQUEST_URI")         \
  X(server_protocol, "SERVER_PROTOCOL") \
  X(server_name, "SERVER_NAME")         \
  X(server_port, "SERVER_PORT")         \
  X(remote_addr, "REMOTE_ADDR")         \
  X(remote_port, "REMOTE_PORT")         \
  X(url_scheme, "wsgi.url_scheme")      \
  X(http_host, "HTTP_HOST")             \
  X(script_name, "SCRIPT_NAME")         \
  X(empty, "")                          \
  X(http_10, "HTTP/1.0")                \
  X(http_11, "HTTP/1.1")                \
  X(https, "https")                     \
  X(get, "GET")                         \
  X(post, "POST")

#define DECLARE(id, text) static PyObject *k_##id;
KEYS(DECLARE)
#undef DECLARE

typedef struct name {
  PyObject *key;     /* HTTP_..., interned; freed by cw_environ_clear() */
  struct name *same; /* the first slot with this key: "Host" and "host" are two names */
  unsigned stamp;    /* in `same`: the request that had the key last */
  unsigned short len;
  char raw[64];
} name_t;

/* The interpreter's, guarded by the GIL; cw_environ_clear() frees what they hold. */
static name_t names[NAMES];
static unsigned n_names, stamp;
static PyObject *template;
static PyObject *k_http_cookie;

/* The last value of each text that hardly varies. Compared by content: what an address
 * held is another request's by now. Freed by cw_environ_clear(), at the worker's end.
 */
typedef struct kept {
  char text[CW_LISTENER_TEXT]; /* the longest of them */
  PyObject *value;
} kept_t;

static struct { kept_t server_name, server_port, remote_addr, remote_port; } kept;

static CW_RAISES CW_STEALS(3) int set_constant(PyObject *dict, const char *key,
                                               PyObject *value) {
  if (!value) return -1;
  PyObject *k = PyUnicode_InternFromString(key);
  int rc = k ? PyDict_SetItem(dict, k, value) : -1;
  Py_XDECREF(k);
  Py_DECREF(value);
  return rc;
}

static PyObject *latin1(const char *p, size_t len) {
  return len ? PyUnicode_DecodeLatin1(p, (Py_ssize_t)len, NULL) : Py_NewRef(k_empty);
}

/* Puts every key that all requests have into the template, so that filling in a copy
 * never grows it. They are more than 21, for which CPython makes a table with room for
 * 42; a copy keeps its size. */
CW_COLD static int fill_template(PyObject *errors, PyObject *file_wrapper,
                                 bool multithread, bool multiprocess) {
  static const char *const own[] = {"wsgi.input",   "REQUEST_METHOD", "PATH_INFO",
                                    "QUERY_STRING", "RAW_URI",        "SERVER_PROTOCOL",
                                    "SERVER_NAME",  "SERVER_PORT",    "REMOTE_ADDR",
                                    "REMOTE_PORT",  "HTTP_HOST",      "REQUEST_URI"};
  const cw_span_t root = cw_mount_root((cw_span_t){"", 0});
  if (set_constant(template, "wsgi.version", Py_BuildValue("(ii)", 1, 0)) < 0 ||
      set_constant(template, "wsgi.url_scheme", PyUnicode_InternFromString("http")) <
          0 ||
      set_constant(template, "wsgi.errors", Py_NewRef(errors)) < 0 ||
      set_constant(template, "wsgi.multithread", PyBool_FromLong(multithread)) < 0 ||
      set_constant(template, "wsgi.multiprocess", PyBool_FromLong(multiprocess)) < 0 ||
      set_constant(template, "wsgi.run_once", PyBool_FromLong(0)) < 0 ||
      set_constant(template, "wsgi.file_wrapper", Py_NewRef(file_wrapper)) < 0 ||
      set_constant(template, "wsgi.input_terminated", PyBool_FromLong(1)) < 0 ||
      set_constant(template, "wsgi.early_hints", cw_early_hints_new()) < 0 ||
      set_constant(template, "SERVER_SOFTWARE",
                   PyUnicode_FromString("cwsgi/" CW_VERSION)) < 0 ||
      set_constant(template, "SCRIPT_NAME", latin1(root.p, root.len)) < 0)
    return -1;
  for (size_t i = 0; i < CW_ARRAY_LEN(own); i++)
    if (set_constant(template, own[i], Py_NewRef(Py_None)) < 0) return -1;
  return 0;
}

/* HTTP_NAME for a header field: RFC 3875 section 4.1.18. */
static PyObject *make_key(cw_span_t name) {
  char stack[128], *buf = stack;
  size_t len = name.len + 5;
  if (len > sizeof(stack) && !(buf = PyMem_Malloc(len))) return PyErr_NoMemory();
  memcpy(buf, "HTTP_", 5);
  for (size_t i = 0; i < name.len; i++) {
    char c = name.p[i];
    buf[5 + i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c == '-' ? '_' : c;
  }
  const char *start = buf;
  if ((len == 17 && memcmp(buf, "HTTP_CONTENT_TYPE", 17) == 0) ||
      (len == 19 && memcmp(buf, "HTTP_CONTENT_LENGTH", 19) == 0)) {
    start += 5;
    len -= 5;
  }
  PyObject *key = PyUnicode_DecodeLatin1(start, (Py_ssize_t)len, NULL);
  if (buf != stack) PyMem_Free(buf);
  return key;
}

/* Whether two keys are the same text. */
static bool same_key(PyObject *a, PyObject *b) {
  return a == b || (PyUnicode_GET_LENGTH(a) == PyUnicode_GET_LENGTH(b) &&
                    PyUnicode_Compare(a, b) == 0);
}

/* A remembered name with this key, or NULL. */
static name_t *find_key(PyObject *key) {
  for (unsigned i = 0; i < NAMES; i++)
    if (names[i].key && same_key(names[i].key, key)) return names[i].same;
  return NULL;
}

/* The slot of a name, remembered now if there is room, or NULL (no error). */
static name_t *find_name(cw_span_t raw) {
  if (raw.len > sizeof(names[0].raw)) return NULL;
  unsigned i = cw_hash(raw.p, raw.len) % NAMES;
  while (names[i].key) {
    if (names[i].len == raw.len && memcmp(names[i].raw, raw.p, raw.len) == 0)
      return &names[i];
    i = (i + 1) % NAMES;
  }
  if (n_names == NAMES_FULL) return NULL;
  PyObject *key = make_key(raw);
  if (!key) {
    PyErr_Clear(); /* the caller makes it again, and fails there if it must */
    return NULL;
  }
  name_t *same = find_key(key);
  /* Only here: some CPythons never give an interned string back. */
  PyUnicode_InternInPlace(&key);
  names[i] = (name_t){.key = key, .len = (unsigned short)raw.len};
  names[i].same = same ? same : &names[i];
  memcpy(names[i].raw, raw.p, raw.len);
  n_names++;
  return &names[i];
}

/* Names that ordinary clients and proxies send, so that no stranger can use up the
 * room before them. */
static void learn_names(void) {
  static const char *const common[] = {"Host",
                                       "User-Agent",
                                       "Accept",
                                       "Accept-Encoding",
                                       "Accept-Language",
                                       "Cookie",
                                       "Connection",
                                       "Content-Type",
                                       "Content-Length",
                                       "Authorization",
                                       "Referer",
                                       "Origin",
                                       "Cache-Control",
                                       "Pragma",
                                       "If-None-Match",
                                       "If-Modified-Since",
                                       "Range",
                                       "X-Forwarded-For",
                                       "X-Forwarded-Proto",
                                       "X-Forwarded-Host",
                                       "X-Forwarded-Port",
                                       "X-Real-IP",
                                       "X-Request-ID",
                                       "X-Cloud-Trace-Context",
                                       "traceparent",
                                       "tracestate",
                                       "Forwarded",
                                       "Via",
                                       "Upgrade-Insecure-Requests",
                                       "Sec-Fetch-Site",
                                       "Sec-Fetch-Mode",
                                       "Sec-Fetch-Dest",
                                       "Sec-Fetch-User",
                                       "sec-ch-ua",
                                       "sec-ch-ua-mobile",
                                       "sec-ch-ua-platform",
                                       "X-Requested-With",
                                       "X-CSRFToken",
                                       "DNT",
                                       "Priority",
                                       "Transfer-Encoding",
                                       "Expect",
                                       "TE",
                                       "host",
                                       "user-agent",
                                       "accept",
                                       "accept-encoding",
                                       "accept-language",
                                       "cookie",
                                       "connection",
                                       "content-type",
                                       "content-length",
                                       "authorization",
                                       "referer",
                                       "x-forwarded-for",
                                       "x-forwarded-proto",
                                       "forwarded",
                                       "x-cloud-trace-context"};
  for (size_t i = 0; i < CW_ARRAY_LEN(common); i++)
    find_name((cw_span_t){common[i], strlen(common[i])});
}

CW_COLD int cw_environ_init(bool multithread, bool multiprocess) {
  CW_ASSERT_GIL();
#define INTERN(id, text) \
  if (!(k_##id = PyUnicode_InternFromString(text))) return -1;
  KEYS(INTERN)
#undef INTERN
  k_http_cookie = PyUnicode_InternFromString("HTTP_COOKIE");
  template = PyDict_New();
  PyObject *errors = cw_errors_new();
  int rc = template && errors && k_http_cookie
               ? fill_template(errors, (PyObject *)cw_file_wrapper_type, multithread,
                               multiprocess)
               : -1;
  Py_XDECREF(errors);
  if (rc == 0) learn_names();
  return rc;
}

void cw_environ_clear(void) {
#define CLEAR(id, text) Py_CLEAR(k_##id);
  KEYS(CLEAR)
#undef CLEAR
  Py_CLEAR(template);
  Py_CLEAR(k_http_cookie);
  for (unsigned i = 0; i < NAMES; i++) Py_CLEAR(names[i].key);
  n_names = 0;
  Py_CLEAR(kept.server_name.value);
  Py_CLEAR(kept.server_port.value);
  Py_CLEAR(kept.remote_addr.value);
  Py_CLEAR(kept.remote_port.value);
}

/* Text as str, the same as for the last request where the text is. */
static CW_NEW PyObject *keep(kept_t *k, const char *text) {
  if (CW_LIKELY(k->value && strcmp(k->text, text) == 0)) return Py_NewRef(k->value);
  size_t size = strlen(text) + 1;
  PyObject *value = PyUnicode_FromString(text);
  if (!value || size > sizeof(k->text)) return value;
  memcpy(k->text, text, size);
  Py_XSETREF(k->value, Py_NewRef(value));
  return value;
}

static PyObject *method(cw_span_t m) {
  if (m.len == 3 && memcmp(m.p, "GET", 3) == 0) return Py_NewRef(k_get);
  if (m.len == 4 && memcmp(m.p, "POST", 4) == 0) return Py_NewRef(k_post);
  return latin1(m.p, m.len);
}

/* The target as it came, by gunicorn's name and by the one that Apache made usual. */
static int take_target(PyObject *env, cw_span_t target) {
  PyObject *value = latin1(target.p, target.len);
  int rc = value ? PyDict_SetItem(env, k_request_uri, value) : -1;
  if (rc < 0) {
    Py_XDECREF(value);
    return -1;
  }
  return cw_dict_take(env, k_raw_uri, value);
}

/* A field that came before: RFC 9110 section 5.3, and RFC 6265 section 5.4 for Cookie.
 */
static PyObject *join(PyObject *env, PyObject *key, PyObject *value) {
  PyObject *old = PyDict_GetItemWithError(env, key); /* borrowed */
  if (!old) return PyErr_Occurred() ? NULL : Py_NewRef(value);
  if (old == Py_None) return Py_NewRef(value); /* the template's HTTP_HOST */
  bool cookie = PyUnicode_Compare(key, k_http_cookie) == 0;
  return PyUnicode_FromFormat(cookie ? "%U; %U" : "%U,%U", old, value);
}

static int add_field(PyObject *env, const cw_field_t *f) {
  name_t *n = find_name(f->name);
  PyObject *key = n ? Py_NewRef(n->key) : make_key(f->name);
  PyObject *value = key ? latin1(f->value.p, f->value.len) : NULL;
  int rc = -1;
  if (!value) goto done;
  /* Written in a way that found no room: other ways of it may be remembered. */
  if (!n) n = find_key(key);
  bool first = n && n->same->stamp != stamp;
  if (n) n->same->stamp = stamp;
  if (!first) {
    PyObject *joined = join(env, key, value);
    Py_DECREF(value);
    if (!(value = joined)) goto done;
  }
  rc = PyDict_SetItem(env, key, value);
done:
  Py_XDECREF(value);
  Py_XDECREF(key);
  return rc;
}

/* What gunicorn tells of a PROXY header. */
static int add_proxy(PyObject *env, const cw_head_t *h) {
  return set_constant(env, "PROXY_PROTOCOL", PyUnicode_FromString(h->proxy_family)) <
                     0 ||
                 set_constant(env, "PROXY_ADDR", PyUnicode_FromString(h->proxy_addr)) <
                     0 ||
                 set_constant(env, "PROXY_PORT", PyUnicode_FromString(h->proxy_port)) <
                     0
             ? -1
             : 0;
}

PyObject *cw_environ_new(const cw_head_t *h, PyObject *input, const cw_mount_t *mount) {
  CW_ASSERT_GIL();
  PyObject *env = PyDict_Copy(template);
  if (!env) return NULL;
  bool host = false;
  size_t skip = mount->len;
  if (PyDict_SetItem(env, k_wsgi_input, input) < 0 ||
      cw_dict_take(env, k_request_method, method(h->method)) < 0 ||
      cw_dict_take(env, k_path_info, latin1(h->path.p + skip, h->path.len - skip)) <
          0 ||
      cw_dict_take(env, k_query_string, latin1(h->query.p, h->query.len)) < 0 ||
      take_target(env, h->target) < 0 ||
      PyDict_SetItem(env, k_server_protocol, h->minor ? k_http_11 : k_http_10) < 0 ||
      cw_dict_take(env, k_server_name, keep(&kept.server_name, h->server_name)) < 0 ||
      cw_dict_take(env, k_server_port, keep(&kept.server_port, h->server_port)) < 0 ||
      cw_dict_take(env, k_remote_addr, keep(&kept.remote_addr, h->peer_addr)) < 0 ||
      cw_dict_take(env, k_remote_port, keep(&kept.remote_port, h->peer_port)) < 0)
    goto fail;
  if ((skip || h->script_name.len) &&
      cw_dict_take(env, k_script_name, cw_mount_script_name(mount, h->script_name)) < 0)
    goto fail;
  if (h->scheme[4] && PyDict_SetItem(env, k_url_scheme, k_https) < 0) goto fail;
  if (h->proxy_family && add_proxy(env, h) < 0) goto fail;
  stamp++;
  for (unsigned i = 0; i < h->n_fields; i++) {
    const cw_field_t *f = &h->fields[i];
    if (add_field(env, f) < 0) goto fail;
    host |= f->name.len == 4 && (f->name.p[0] | 0x20) == 'h' &&
            strncasecmp(f->name.p, "host", 4) == 0;
  }
  if (!host && PyDict_DelItem(env, k_http_host) < 0) goto fail;
  return env;
fail:
  Py_DECREF(env);
  return NULL;
}
