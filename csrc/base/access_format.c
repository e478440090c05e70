/* SPDX-License-Identifier: MIT */
/* Compiling access log formats. */
#include "base/access_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

enum { WIDTH_MAX = 512 };

static const struct {
  char letter;
  bool is_number; /* %d is allowed, too */
  cw_atom_t atom;
} atoms[] = {
    {'h', false, CW_ATOM_ADDR},     {'l', false, CW_ATOM_DASH},
    {'u', false, CW_ATOM_USER},     {'t', false, CW_ATOM_TIME},
    {'r', false, CW_ATOM_LINE},     {'m', false, CW_ATOM_METHOD},
    {'U', false, CW_ATOM_PATH},     {'q', false, CW_ATOM_QUERY},
    {'H', false, CW_ATOM_PROTOCOL}, {'s', true, CW_ATOM_STATUS},
    {'B', true, CW_ATOM_BYTES},     {'b', false, CW_ATOM_BYTES},
    {'f', false, CW_ATOM_REFERER},  {'a', false, CW_ATOM_AGENT},
    {'T', true, CW_ATOM_SECONDS},   {'M', true, CW_ATOM_MILLIS},
    {'D', true, CW_ATOM_MICROS},    {'L', false, CW_ATOM_DECIMAL},
    {'p', false, CW_ATOM_PID},
};

/* What gunicorn's default says, which is Apache's "combined". */
static const char combined[] =
    "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"";

/* Fills in the atom named `name` (its text is cut with a NUL). Returns 0 or -1. */
static int find_atom(char *name, size_t n, cw_access_op_t *op, bool *is_number) {
  *is_number = false;
  if (n == 1) {
    for (size_t i = 0; i < CW_ARRAY_LEN(atoms); i++)
      if (atoms[i].letter == name[0]) {
        op->atom = atoms[i].atom;
        *is_number = atoms[i].is_number;
        return 0;
      }
    return -1;
  }
  if (n < 4 || name[0] != '{' || name[n - 2] != '}') return -1;
  switch (name[n - 1]) {
    case 'i': op->atom = CW_ATOM_REQUEST_FIELD; break;
    case 'o': op->atom = CW_ATOM_RESPONSE_FIELD; break;
    case 'e': op->atom = CW_ATOM_ENVIRON; break;
    default: return -1;
  }
  op->text = (cw_span_t){name + 1, n - 3};
  return 0;
}

/* Reads what stands between ')' and the conversion. NULL where it makes no sense. */
static char *read_width(char *p, cw_access_op_t *op) {
  op->precision = -1;
  for (; *p && strchr("-0+ #", *p); p++) {
    op->left |= *p == '-';
    op->zeros |= *p == '0';
  }
  for (; *p >= '0' && *p <= '9'; p++) {
    op->width = op->width * 10 + (*p - '0');
    if (op->width > WIDTH_MAX) return NULL;
  }
  if (*p == '.')
    for (p++, op->precision = 0; *p >= '0' && *p <= '9'; p++) {
      op->precision = op->precision * 10 + (*p - '0');
      if (op->precision > WIDTH_MAX) op->precision = WIDTH_MAX;
    }
  return p;
}

/* Reads one "%..." at `p`. Returns where to go on, or NULL with the reason in `err`. */
static char *read_atom(char *p, cw_access_op_t *op, char *err, size_t err_len) {
  char *start = p, *close;
  bool is_number;
  if (p[1] == '%') {
    *op = (cw_access_op_t){.atom = CW_ATOM_TEXT, .text = {p, 1}};
    return p + 2;
  }
  close = p[1] == '(' ? strchr(p, ')') : NULL;
  if (!close) {
    snprintf(err, err_len, "'%.40s' is no atom: they look like %%(h)s", start);
    return NULL;
  }
  if (find_atom(p + 2, (size_t)(close - p) - 2, op, &is_number) != 0) {
    snprintf(err, err_len, "there is no atom %.*s", (int)CW_MIN(close + 1 - p, 80), p);
    return NULL;
  }
  p = read_width(close + 1, op);
  if (p && *p == 's') return p + 1;
  if (p && is_number && (*p == 'd' || *p == 'i')) return p + 1;
  snprintf(err, err_len, "%.*s cannot be written as '%.8s'",
           (int)CW_MIN(close + 1 - start, 80), start, close + 1);
  return NULL;
}

static int compile(cw_access_format_t *f, char *err, size_t err_len) {
  char *p = f->text;
  while (*p) {
    cw_access_op_t *op = &f->ops[f->n];
    if (*p == '%') {
      p = read_atom(p, op, err, err_len);
      if (!p) return -1;
      if (op->atom == CW_ATOM_RESPONSE_FIELD) op->index = f->n_fields++;
      if (op->atom == CW_ATOM_ENVIRON) op->index = f->n_environ++;
    } else {
      size_t n = strcspn(p, "%");
      *op = (cw_access_op_t){.atom = CW_ATOM_TEXT, .text = {p, n}};
      p += n;
    }
    f->n++;
  }
  /* Only now: an error message still wanted the whole of the text. */
  for (unsigned i = 0; i < f->n; i++)
    if (f->ops[i].atom != CW_ATOM_TEXT && f->ops[i].text.p)
      f->text[f->ops[i].text.p - f->text + (ptrdiff_t)f->ops[i].text.len] = '\0';
  return 0;
}

int cw_access_format_compile(cw_access_format_t *f, const char *text, char *err,
                             size_t err_len) {
  bool json = strcmp(text, "json") == 0, gcp = strcmp(text, "gcp") == 0;
  *f = (cw_access_format_t){0};
  if (strcmp(text, "combined") == 0) text = combined;
  size_t most = 1;
  for (const char *p = text; *p; p++) most += *p == '%' ? 2 : 0;
  f->text = strdup(text);
  f->ops = cw_calloc(most, sizeof(*f->ops));
  if (!f->text || !f->ops) {
    snprintf(err, err_len, "out of memory");
    goto fail;
  }
  if (json || gcp) {
    f->ops[f->n++].atom = json ? CW_ATOM_JSON : CW_ATOM_GCP;
    return 0;
  }
  if (compile(f, err, err_len) == 0) return 0;
fail:
  cw_access_format_free(f);
  return -1;
}

void cw_access_format_free(cw_access_format_t *f) {
  free(f->ops);
  free(f->text);
  *f = (cw_access_format_t){0};
}

const char *cw_access_format_name(const cw_access_format_t *f, cw_atom_t kind,
                                  unsigned i) {
  for (unsigned k = 0; k < f->n; k++)
    if (f->ops[k].atom == kind && f->ops[k].index == i) return f->ops[k].text.p;
  return NULL;
}

int cw_access_format_check(const char *text, char *err, size_t err_len) {
  cw_access_format_t f;
  char reason[160];
  if (cw_access_format_compile(&f, text, reason, sizeof(reason)) != 0) {
    snprintf(err, err_len, "--access-logformat: %s", reason);
    return -1;
  }
  cw_access_format_free(&f);
  return 0;
}
