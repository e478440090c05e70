/* SPDX-License-Identifier: MIT */
/* Splitting app references. */
#include "base/import_string.h"

#include <string.h>

const char *cw_import_string_split(const char *text, cw_import_string_t *out) {
  const char *colon = strchr(text, ':');
  size_t len = strlen(text);
  *out = (cw_import_string_t){.module = {text, colon ? (size_t)(colon - text) : len},
                              .bare = !colon};
  out->attr = (cw_span_t){text + len, 0};
  if (colon) out->attr = (cw_span_t){colon + 1, len - out->module.len - 1};
  if (out->module.len == 0) return "no module is named";
  if (colon && out->attr.len == 0) return "no name follows the colon";
  out->call = memchr(out->attr.p, '(', out->attr.len) != NULL;
  return NULL;
}

bool cw_import_string_next(cw_span_t *attr, cw_span_t *name) {
  if (attr->len == 0) return false;
  const char *dot = memchr(attr->p, '.', attr->len);
  *name = (cw_span_t){attr->p, dot ? (size_t)(dot - attr->p) : attr->len};
  size_t used = name->len + (dot != NULL);
  attr->p += used;
  attr->len -= used;
  return true;
}
