/* SPDX-License-Identifier: MIT */
/* The access log's format: gunicorn's %-format, or one of the names combined, json and
 * gcp, compiled once into a list of steps. Read-only after that: any thread. */
#ifndef CW_BASE_ACCESS_FORMAT_H
#define CW_BASE_ACCESS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

typedef enum cw_atom {
  CW_ATOM_TEXT, /* a literal */
  CW_ATOM_ADDR,
  CW_ATOM_DASH,
  CW_ATOM_USER,
  CW_ATOM_TIME,
  CW_ATOM_LINE,
  CW_ATOM_METHOD,
  CW_ATOM_PATH,
  CW_ATOM_QUERY,
  CW_ATOM_PROTOCOL,
  CW_ATOM_STATUS,
  CW_ATOM_BYTES,
  CW_ATOM_REFERER,
  CW_ATOM_AGENT,
  CW_ATOM_SECONDS,
  CW_ATOM_MILLIS,
  CW_ATOM_MICROS,
  CW_ATOM_DECIMAL,
  CW_ATOM_PID,
  CW_ATOM_REQUEST_FIELD,
  CW_ATOM_RESPONSE_FIELD,
  CW_ATOM_ENVIRON,
  CW_ATOM_JSON, /* the whole line */
  CW_ATOM_GCP,  /* the whole line */
} cw_atom_t;

/* One step: a literal or an atom with what %-formats say about its width. */
typedef struct cw_access_op {
  cw_atom_t atom;
  cw_span_t text;   /* of a literal; the name in braces, NUL-ended; "*": all fields */
  unsigned index;   /* of a response field or environ variable */
  int width;        /* least bytes; 0: any */
  int precision;    /* most bytes; -1: any */
  bool left, zeros; /* how to fill up to the width */
} cw_access_op_t;

/* Whether a field's step means all of them. */
static inline bool cw_access_op_is_all(const cw_access_op_t *op) {
  return op->text.len == 1 && op->text.p[0] == '*';
}

typedef struct cw_access_format {
  cw_access_op_t *ops; /* owned, as is the text behind them */
  unsigned n;
  char *text;
  unsigned n_fields, n_environ; /* response fields and environ variables in it */
} cw_access_format_t;

/* Compiles `text`. Returns 0, or -1 with a reason that names the atom in `err`; `f` is
 * empty then. */
CW_MUSTCHECK int cw_access_format_compile(cw_access_format_t *f, const char *text,
                                          char *err, size_t err_len);
void cw_access_format_free(cw_access_format_t *f);

/* The i-th name of this kind (RESPONSE_FIELD, ENVIRON) in the format, or NULL. */
const char *cw_access_format_name(const cw_access_format_t *f, cw_atom_t kind,
                                  unsigned i);

/* Whether `text` compiles: 0, or -1 with the reason in `err`. */
CW_MUSTCHECK int cw_access_format_check(const char *text, char *err, size_t err_len);

#endif
