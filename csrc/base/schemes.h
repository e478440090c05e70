/* SPDX-License-Identifier: MIT */
/* The fields by which a proxy says that it was reached by https, as the setting
 * secure_scheme_headers lists them. Pure; any thread. */
#ifndef CW_BASE_SCHEMES_H
#define CW_BASE_SCHEMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

enum { CW_SCHEMES = 8, CW_SCHEME_NAME = 64 };

/* All in lower case. */
typedef struct cw_scheme {
  char name[CW_SCHEME_NAME], value[32];
  size_t name_len;
} cw_scheme_t;

typedef struct cw_schemes {
  cw_scheme_t items[CW_SCHEMES];
  unsigned n;
  uint64_t lengths; /* bit n: a name of n bytes is among them */
} cw_schemes_t;

/* Reads "NAME=VALUE,..."; NULL stands for gunicorn's three. Returns 0, or -1 with the
 * reason in `err`. */
CW_MUSTCHECK int cw_schemes_parse(cw_schemes_t *s, const char *text, char *err,
                                  size_t err_len);

#endif
