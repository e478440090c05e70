/* SPDX-License-Identifier: MIT */
/* The parts of an app reference: module, module:attr.sub, module:factory("arg").
 * Pure; any thread. */
#ifndef CW_BASE_REF_H
#define CW_BASE_REF_H

#include <stdbool.h>

#include "base/macros.h"

typedef struct cw_ref {
  cw_span_t module;
  cw_span_t attr; /* what follows the colon; empty for a bare module */
  bool bare;      /* there is no colon */
  bool call;      /* attr is an expression with parentheses */
} cw_ref_t;

/* Splits `text` (NUL-ended); the spans point into it. Returns NULL, or what is wrong
 * with it. */
CW_MUSTCHECK const char *cw_ref_split(const char *text, cw_ref_t *out);

/* Cuts the next name off a dotted `attr`. False at its end. */
bool cw_ref_next_name(cw_span_t *attr, cw_span_t *name);

#endif
