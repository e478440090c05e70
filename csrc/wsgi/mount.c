/* SPDX-License-Identifier: MIT */
/* Several applications by path: the longest prefix wins, at a border between segments
 * (as uWSGI's manage-script-name has it). */
#include <string.h>

#include "wsgi/wsgi.h"
#include "wsgi/wsgi_internal.h"

enum { MOST = 64 };

/* The interpreter's: filled before the first request, freed by cw_mount_clear(). */
static cw_mount_t mounts[MOST]; /* longest prefix first */
static char *prefixes[MOST];
static unsigned n_mounts;

int cw_wsgi_mount(const char *prefix, PyObject *callable) {
  CW_ASSERT_GIL();
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
      copy ? PyUnicode_DecodeLatin1(copy, (Py_ssize_t)len, NULL) : PyErr_NoMemory();
  if (!name) {
    free(copy);
    return -1;
  }
  memmove(&mounts[at + 1], &mounts[at], (n_mounts - at) * sizeof(mounts[0]));
  memmove(&prefixes[at + 1], &prefixes[at], (n_mounts - at) * sizeof(prefixes[0]));
  mounts[at] = (cw_mount_t){len, name, Py_NewRef(callable)};
  prefixes[at] = copy;
  n_mounts++;
  return 0;
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

PyObject *cw_wsgi_mounts(void) {
  CW_ASSERT_GIL();
  PyObject *list = PyList_New(0);
  for (unsigned i = 0; list && i < n_mounts; i++) {
    PyObject *pair = PyTuple_Pack(2, mounts[i].script_name, mounts[i].app);
    if (!pair || PyList_Append(list, pair) < 0) Py_CLEAR(list);
    Py_XDECREF(pair);
  }
  return list;
}

void cw_mount_clear(void) {
  for (unsigned i = 0; i < n_mounts; i++) {
    Py_CLEAR(mounts[i].script_name);
    Py_CLEAR(mounts[i].app);
    free(prefixes[i]);
  }
  n_mounts = 0;
}
