/* SPDX-License-Identifier: MIT */
/* The parts of an app reference: module, module:attr.sub, module:factory("arg").
 * Pure; any thread. */
#ifndef CW_BASE_IMPORT_STRING_H
#define CW_BASE_IMPORT_STRING_H

#include <stdbool.h>

#include "base/macros.h"

typedef struct cw_import_string {
  cw_span_t module;
  cw_span_t attr; /* what follows the colon; empty for a bare module */
  bool bare;      /* there is no colon */
  bool call;      /* attr is an expression with parentheses */
} cw_import_string_t;

/* Splits `text` (NUL-ended); the spans point into it. Returns NULL, or what is wrong
 * with it. */
CW_MUSTCHECK const char *cw_import_string_split(const char *text,
                                                cw_import_string_t *out);

/* Cuts the next name off a dotted `attr`. False at its end. */
bool cw_import_string_next(cw_span_t *attr, cw_span_t *name);

#endif
