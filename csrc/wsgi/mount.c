/* SPDX-License-Identifier: MIT */
/* Which application answers a path, and what its SCRIPT_NAME is: the longest prefix
 * wins, at a border between segments (as uWSGI's manage-script-name has it). */
#include <stdlib.h>
#include <string.h>

#include "wsgi/wsgi.h"
#include "wsgi/wsgi_internal.h"

enum { MOST = 64 };

/* The interpreter's: filled before the first request, freed by cw_mount_clear(). */
static cw_mount_t mounts[MOST]; /* longest prefix first */
static char *prefixes[MOST];
static unsigned n_mounts;
static const char *root_path = ""; /* borrowed: the settings' */

void cw_wsgi_set_root_path(const char *path) {
  root_path = path;
}

cw_span_t cw_mount_root(cw_span_t proxy) {
  return proxy.len ? proxy : (cw_span_t){root_path, strlen(root_path)};
}

/* A SCRIPT_NAME: what the proxy has cut off, then the mount's prefix. */
static CW_NEW PyObject *join(cw_span_t proxy, cw_span_t prefix) {
  cw_span_t root = cw_mount_root(proxy);
  PyObject *first = PyUnicode_DecodeLatin1(root.p, (Py_ssize_t)root.len, NULL);
  PyObject *rest = PyUnicode_DecodeLatin1(prefix.p, (Py_ssize_t)prefix.len, NULL);
  PyObject *whole = first && rest ? PyUnicode_Concat(first, rest) : NULL;
  Py_XDECREF(first);
  Py_XDECREF(rest);
  return whole;
}

int cw_wsgi_mount(const char *prefix, PyObject *callable, bool async) {
  CW_ASSERT_GIL();
  if (!prefix && !(prefix = getenv("SCRIPT_NAME"))) prefix = "";
  size_t len = strlen(prefix);
  /* "/x/" and "/x" are one place; "/" is the root. */
  while (len && prefix[len - 1] == '/') len--;
  unsigned at = 0;
  while (at < n_mounts && mounts[at].len > len) at++;
  for (unsigned i = 0; i < n_mounts; i++)
    if (mounts[i].len == len && memcmp(prefixes[i], prefix, len) == 0) {
      PyErr_Format(PyExc_ValueError, "two apps are mounted at '%s'", prefix);
      return -1;
    }
  if (n_mounts == MOST) {
    PyErr_Format(PyExc_ValueError, "more than %d apps are mounted", MOST);
    return -1;
  }
  char *copy = strndup(prefix, len);
  PyObject *name =
      copy ? join((cw_span_t){"", 0}, (cw_span_t){copy, len}) : PyErr_NoMemory();
  if (!name) {
    free(copy);
    return -1;
  }
  memmove(&mounts[at + 1], &mounts[at], (n_mounts - at) * sizeof(mounts[0]));
  memmove(&prefixes[at + 1], &prefixes[at], (n_mounts - at) * sizeof(prefixes[0]));
  mounts[at] = (cw_mount_t){len, name, Py_NewRef(callable), async};
  prefixes[at] = copy;
  n_mounts++;
  return 0;
}

PyObject *cw_wsgi_replace_app(PyObject *module, PyObject *args) {
  CW_ASSERT_GIL();
  PyObject *from, *to; /* borrowed */
  if (!PyArg_ParseTuple(args, "OO", &from, &to)) return NULL;
  for (unsigned i = 0; i < n_mounts; i++)
    if (mounts[i].app == from) {
      mounts[i].app = Py_NewRef(to);
      Py_DECREF(from);
    }
  Py_RETURN_NONE;
}

const cw_mount_t *cw_mount_find(cw_span_t path) {
  for (unsigned i = 0; i < n_mounts; i++) {
    size_t len = mounts[i].len;
    if (len == 0) return &mounts[i];
    if (path.len >= len && memcmp(path.p, prefixes[i], len) == 0 &&
        (path.len == len || path.p[len] == '/'))
      return &mounts[i];
  }
  return NULL;
}

const cw_mount_t *cw_mount_at(unsigned i) {
  return i < n_mounts ? &mounts[i] : NULL;
}

PyObject *cw_mount_script_name(const cw_mount_t *mount, cw_span_t proxy) {
  CW_ASSERT_GIL();
  if (!proxy.len) return Py_NewRef(mount->script_name);
  return join(proxy, (cw_span_t){prefixes[mount - mounts], mount->len});
}

void cw_mount_clear(void) {
  for (unsigned i = 0; i < n_mounts; i++) {
    Py_CLEAR(mounts[i].script_name);
    Py_CLEAR(mounts[i].app);
    free(prefixes[i]);
  }
  n_mounts = 0;
}
